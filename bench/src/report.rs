//! What is printed.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use crate::machine::{self, Costs};
use crate::measured::{Measured, percentile};
use crate::postgres::Figures;
use crate::run::Used;

/// Everything there is to say.
pub(crate) struct Report {
    pub(crate) clients: u32,
    pub(crate) nodes: u32,
    pub(crate) disk: String,
    pub(crate) startup: Duration,
    pub(crate) idle: Costs,
    pub(crate) after: Costs,
    pub(crate) used: Used,
    pub(crate) measured: Measured,
    pub(crate) stopped_in: Duration,
}

/// The histogram of the store's operations, without its suffix.
const STORE: &str = "countersign_store_seconds";
/// That of groups.
const GROUPS: &str = "countersign_commit_batch_size";

impl Report {
    /// Prints it.
    pub(crate) fn print(mut self, to: &mut impl Write) -> io::Result<()> {
        let sign_ins = self.sign_ins();
        let nodes = if self.nodes == 1 { String::new() } else { format!(", on {} nodes", self.nodes) };
        writeln!(
            to,
            "sign-ins       {:.0}/s ({sign_ins} in {:.1} s by {} clients{nodes}; {} of them first-time)",
            sign_ins / self.seconds(),
            self.seconds(),
            self.clients,
            self.measured.first_time
        )?;
        self.print_errors(to)?;
        for (what, took) in [
            ("start", &mut self.measured.starts),
            ("mail", &mut self.measured.mails),
            ("verify", &mut self.measured.verifications),
        ] {
            took.sort_unstable();
            let [p50, p99, most] = [50, 99, 100].map(|percent| f64::from(percentile(took, percent)) / 1000.0);
            writeln!(to, "{what:<14} p50 {p50:.1} ms   p99 {p99:.1} ms   most {most:.1} ms")?;
        }
        self.print_costs(to)?;
        self.print_store(to)?;
        self.print_database(to)?;
        writeln!(
            to,
            "start-up       {} ms until the first answer; stopped in {} ms",
            self.startup.as_millis(),
            self.stopped_in.as_millis()
        )?;
        writeln!(to, "machine        {}, kernel {}", machine::processor(), machine::kernel())?;
        writeln!(to, "disk           {}", self.disk)
    }

    /// Prints what went wrong, and how often.
    pub(crate) fn print_errors(&self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "errors         {}", self.measured.errors.len())?;
        for (error, times) in tally(&self.measured.errors) {
            writeln!(to, "               {times} x {error}")?;
        }
        Ok(())
    }

    /// How many sign-ins were measured.
    pub(crate) fn sign_ins(&self) -> f64 {
        self.measured.sign_ins()
    }

    /// How long was measured.
    pub(crate) fn seconds(&self) -> f64 {
        self.used.time.as_secs_f64()
    }

    /// How often the store was asked for `operation`.
    pub(crate) fn operations(&self, operation: &str) -> f64 {
        self.used.metrics.sum(&format!("{STORE}_count"), operation)
    }

    fn print_costs(&self, to: &mut impl Write) -> io::Result<()> {
        let (sign_ins, seconds) = (self.sign_ins(), self.seconds());
        let (server, load) = (self.used.server.as_secs_f64(), self.used.load.as_secs_f64());
        let written = count(self.used.written);
        writeln!(
            to,
            "processor      server {server:.1} s ({:.2} cores, {:.0} µs a sign-in); the load itself {load:.1} s ({:.2} cores)",
            server / seconds,
            server / sign_ins * 1e6,
            load / seconds
        )?;
        writeln!(
            to,
            "written        {:.1} MB/s, {:.1} KB a sign-in",
            written / seconds / 1e6,
            written / sign_ins / 1e3
        )?;
        let mebibytes = |kib: u64| count(kib) / 1024.0;
        writeln!(
            to,
            "memory         idle {:.1} MiB; after the load {:.1} MiB (at most {:.1} MiB)",
            mebibytes(self.idle.resident_kib),
            mebibytes(self.after.resident_kib),
            mebibytes(self.after.most_resident_kib)
        )
    }

    fn print_store(&self, to: &mut impl Write) -> io::Result<()> {
        let sign_ins = self.sign_ins();
        let (groups, operations) = (
            self.used.metrics.sum(&format!("{GROUPS}_count"), ""),
            self.used.metrics.sum(&format!("{GROUPS}_sum"), ""),
        );
        if groups > 0.0 {
            writeln!(
                to,
                "commits        {:.2} a sign-in, {:.1} operations each",
                groups / sign_ins,
                operations / groups
            )?;
        } else {
            writeln!(to, "operations")?;
        }
        for operation in self.used.metrics.operations(&format!("{STORE}_count")) {
            let times = self.operations(operation);
            if times > 0.0 {
                let mean = self.used.metrics.sum(&format!("{STORE}_sum"), operation) / times * 1e3;
                writeln!(to, "  {operation:<12} {:.2} a sign-in, {mean:.1} ms each until durable", times / sign_ins)?;
            }
        }
        Ok(())
    }

    fn print_database(&self, to: &mut impl Write) -> io::Result<()> {
        let Some(Figures { processor, log, images, syncs, size, .. }) = self.used.database else { return Ok(()) };
        let sign_ins = self.sign_ins();
        let processor = processor.as_secs_f64();
        writeln!(
            to,
            "PostgreSQL     {processor:.1} s ({:.2} cores, {:.0} µs a sign-in)",
            processor / self.seconds(),
            processor / sign_ins * 1e6
        )?;
        writeln!(
            to,
            "  log          {:.1} KB a sign-in, {:.1} of them images of pages; {:.2} syncs a sign-in",
            count(log) / sign_ins / 1e3,
            count(images) / sign_ins / 1e3,
            count(syncs) / sign_ins
        )?;
        writeln!(to, "  rows         {:.1} KB a sign-in, with their indexes", count(size) / sign_ins / 1e3)?;
        let Some(statements) = &self.used.statements else { return Ok(()) };
        let calls: f64 = statements.values().map(|(calls, _)| calls).sum();
        writeln!(to, "  statements   {:.1} a sign-in; each: how many a sign-in, µs in the executor", calls / sign_ins)?;
        let mut statements: Vec<_> = statements.iter().collect();
        statements.sort_by(|(_, one), (_, other)| other.1.total_cmp(&one.1));
        for (text, (calls, took)) in statements {
            let text: String = text.chars().take(100).collect();
            writeln!(to, "  {:>6.2} {:>6.0}  {text}", calls / sign_ins, took / calls * 1e3)?;
        }
        Ok(())
    }
}

/// How often each error came, most frequent first.
fn tally(errors: &[String]) -> Vec<(&str, usize)> {
    let mut counts = BTreeMap::new();
    for error in errors {
        *counts.entry(error.as_str()).or_insert(0) += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    counts
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "no run counts to 2^53")]
pub(crate) fn count(number: impl TryInto<u64>) -> f64 {
    number.try_into().unwrap_or(u64::MAX) as f64
}
