//! What is printed.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use crate::Moment;
use crate::machine::{self, Costs};
use crate::measured::{Measured, percentile};

/// Everything there is to say.
pub(crate) struct Report {
    pub(crate) clients: u32,
    pub(crate) disk: String,
    pub(crate) startup: Duration,
    pub(crate) idle: Costs,
    pub(crate) before: Moment,
    pub(crate) after: Moment,
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
        let seconds = (self.after.at - self.before.at).as_secs_f64();
        let sign_ins = count(self.measured.starts.len());
        let errors = self.measured.errors.len();
        writeln!(
            to,
            "sign-ins       {:.0}/s ({sign_ins} in {seconds:.1} s by {} clients; {} of them first-time)",
            sign_ins / seconds,
            self.clients,
            self.measured.first_time
        )?;
        writeln!(to, "errors         {errors}")?;
        for (error, times) in tally(&self.measured.errors) {
            writeln!(to, "               {times} x {error}")?;
        }
        for (what, took) in [
            ("start", &mut self.measured.starts),
            ("mail", &mut self.measured.mails),
            ("verify", &mut self.measured.verifications),
        ] {
            took.sort_unstable();
            let [p50, p99, most] = [50, 99, 100].map(|percent| f64::from(percentile(took, percent)) / 1000.0);
            writeln!(to, "{what:<14} p50 {p50:.1} ms   p99 {p99:.1} ms   most {most:.1} ms")?;
        }
        self.print_costs(to, sign_ins, seconds)?;
        self.print_store(to, sign_ins)?;
        writeln!(
            to,
            "start-up       {} ms until the first answer; stopped in {} ms",
            self.startup.as_millis(),
            self.stopped_in.as_millis()
        )?;
        writeln!(to, "machine        {}, kernel {}", machine::processor(), machine::kernel())?;
        writeln!(to, "disk           {}", self.disk)
    }

    fn print_costs(&self, to: &mut impl Write, sign_ins: f64, seconds: f64) -> io::Result<()> {
        let spent = |before: Costs, after: Costs| after.processor.saturating_sub(before.processor).as_secs_f64();
        let server = spent(self.before.server, self.after.server);
        let load = spent(self.before.load, self.after.load);
        let written = count(self.after.server.written - self.before.server.written);
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
            mebibytes(self.after.server.resident_kib),
            mebibytes(self.after.server.most_resident_kib)
        )
    }

    fn print_store(&self, to: &mut impl Write, sign_ins: f64) -> io::Result<()> {
        let growth = |name: &str, operation: &str| self.after.metrics.growth(&self.before.metrics, name, operation);
        let (groups, operations) = (growth(&format!("{GROUPS}_count"), ""), growth(&format!("{GROUPS}_sum"), ""));
        writeln!(to, "commits        {:.2} a sign-in, {:.1} operations each", groups / sign_ins, operations / groups)?;
        let counted = format!("{STORE}_count");
        for operation in self.after.metrics.operations(&counted) {
            let times = growth(&counted, operation);
            if times > 0.0 {
                let mean = growth(&format!("{STORE}_sum"), operation) / times * 1e3;
                writeln!(to, "  {operation:<12} {:.2} a sign-in, {mean:.1} ms each until durable", times / sign_ins)?;
            }
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
fn count(number: impl TryInto<u64>) -> f64 {
    number.try_into().unwrap_or(u64::MAX) as f64
}
