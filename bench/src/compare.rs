//! One beside the other: `SQLite`, PostgreSQL with one node and with two, and what pgbench does with the same statements.
//!
//! All of them in turn, as often as was asked for, and of each figure the median: what else the machine does meanwhile meets all of
//! them alike. One node and two differ by less than a machine does from one moment to the next, so these are up at the same time, and
//! people sign in now on the one, now on the two.

use std::io::{self, Write};
use std::time::Duration;

use crate::Options;
use crate::ceiling::{self, Ceiling};
use crate::machine;
use crate::postgres::{Counting, Figures, Postgres, Statements};
use crate::report::{Report, count};
use crate::run::{Running, run};

/// What is compared.
const NAMES: [&str; 4] = ["SQLite", "PostgreSQL, one node", "PostgreSQL, two nodes", "pgbench, the same statements"];

/// How long is counted, where statements are.
const COUNTING: u64 = 5;

/// How long people sign in on one node before it is the two nodes' turn.
const SLICE: Duration = Duration::from_secs(2);

/// How much of the beginning of that does not count: those who signed in elsewhere come to their end.
const CHANGE: Duration = Duration::from_millis(500);

/// One run in figures; those but the first are of one sign-in, processor time in microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    rate: f64,
    server: f64,
    database: f64,
    load: f64,
    trips: f64,
    log: f64,
    images: f64,
    syncs: f64,
    size: f64,
}

/// Prints a table.
pub(crate) async fn print(options: &Options, to: &mut impl Write) -> io::Result<()> {
    let (batch, statements) = counted(options, to).await?;
    let postgres = Postgres::start(Counting::No).await?;
    let mut rows: [Vec<Row>; 4] = Default::default();
    let mut ratios = Vec::new();
    for round in 1..=options.rounds {
        writeln!(to, "round {round} of {}: {} clients, {} s each", options.rounds, options.clients, options.seconds)?;
        let sqlite = run(options, 1, None, Counting::No).await?;
        let [one, two] = nodes(options, &postgres, &mut ratios).await?;
        let ceiling = ceiling::run(options, &postgres, Counting::No, batch).await?;
        let [sqlite, one, two] = [of_report(&sqlite, to)?, of_report(&one, to)?, of_report(&two, to)?];
        for ((name, rows), row) in NAMES.into_iter().zip(&mut rows).zip([sqlite, one, two, of_ceiling(&ceiling)]) {
            writeln!(to, "  {name:<30} {:>6.0}/s", row.rate)?;
            rows.push(row);
        }
    }
    let rows = rows.map(|rows| median(&rows));
    writeln!(to)?;
    writeln!(
        to,
        "| medians of {} | sign-ins/s | server µs | database µs | load µs | statements | trips | log KB | page images KB | syncs | rows KB |",
        options.rounds
    )?;
    writeln!(to, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for (index, (name, row)) in NAMES.into_iter().zip(rows).enumerate() {
        let Row { rate, server, database, load, trips, log, images, syncs, size } = row;
        let statements = statements.get(index).copied().unwrap_or_default();
        write!(to, "| {name} |")?;
        for (figure, digits) in [(rate, 0), (server, 0), (database, 0), (load, 0), (statements, 1), (trips, 2)] {
            write!(to, "{}", cell(figure, digits))?;
        }
        for (figure, digits) in [(log, 1), (images, 1), (syncs, 2), (size, 1)] {
            write!(to, "{}", cell(figure, digits))?;
        }
        writeln!(to)?;
    }
    writeln!(to, "\nmachine: {}, kernel {}", machine::processor(), machine::kernel())?;
    let [_, one, _, ceiling] = rows;
    writeln!(to, "one node is at {:.0} % of what pgbench does", one.rate / ceiling.rate * 100.0)?;
    let (mean, error) = mean(&ratios);
    writeln!(
        to,
        "two nodes are at {:.1} % of one, give or take {:.1}: mean and standard error of {} slices of {} s, one beside the other",
        mean * 100.0,
        error * 100.0,
        ratios.len(),
        SLICE.as_secs()
    )
}

/// Has people sign in on one node and on two, in turn, and puts how much the two did of what the one did to `ratios`.
async fn nodes(options: &Options, postgres: &Postgres, ratios: &mut Vec<f64>) -> io::Result<[Report; 2]> {
    let databases = [postgres.database(Counting::No).await, postgres.database(Counting::No).await];
    let [for_one, for_two] = &databases;
    let mut one = Running::start(options, 1, Some(for_one), Counting::No).await?;
    let mut two = Running::start(options, 2, Some(for_two), Counting::No).await?;
    for slice in 0..options.seconds.div_ceil(SLICE.as_secs()).max(2) {
        let unmeasured = if slice == 0 { Duration::from_secs(options.warm_up) } else { CHANGE };
        // Who comes second finds what the first has left for the disk to do, so each does every other time.
        let (of_one, of_two) = if slice % 2 == 0 {
            let of_one = one.measure(unmeasured, SLICE).await?;
            (of_one, two.measure(unmeasured, SLICE).await?)
        } else {
            let of_two = two.measure(unmeasured, SLICE).await?;
            (one.measure(unmeasured, SLICE).await?, of_two)
        };
        ratios.push(of_two / of_one);
    }
    let reports = [one.stop().await?, two.stop().await?];
    for database in databases {
        postgres.remove(database).await?;
    }
    Ok(reports)
}

/// The geometric mean of ratios, and its standard error.
fn mean(ratios: &[f64]) -> (f64, f64) {
    let number = count(ratios.len());
    let mean = ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / number;
    let squares: f64 = ratios.iter().map(|ratio| (ratio.ln() - mean).powi(2)).sum();
    (mean.exp(), mean.exp() * (squares / (number - 1.0) / number).sqrt())
}

/// A figure in a cell of its own; what a row has nothing of is left out.
fn cell(figure: f64, digits: usize) -> String {
    if figure > 0.0 { format!(" {figure:.digits$} |") } else { " |".to_owned() }
}

/// How many messages are settled at a time, and how many statements a sign-in takes: on PostgreSQL with one node, with two and at
/// the ceiling, behind a nothing for `SQLite`. Counting costs something, so it has runs of its own.
async fn counted(options: &Options, to: &mut impl Write) -> io::Result<(u32, [f64; 4])> {
    let options = Options { seconds: COUNTING.min(options.seconds), ..options.clone() };
    let postgres = Postgres::start(Counting::Statements).await?;
    let mut counts = [0.0; 4];
    let mut batch = 1;
    let mut ours = Statements::new();
    for (nodes, counted) in (1..).zip(counts.iter_mut().skip(1).take(2)) {
        let database = postgres.database(Counting::Statements).await;
        let report = run(&options, nodes, Some(&database), Counting::Statements).await?;
        *counted = of_each(report.used.statements.as_ref(), report.operations("verify"));
        if nodes == 1 {
            batch = in_a_batch(&report);
        }
        ours.extend(report.used.statements.unwrap_or_default());
        postgres.remove(database).await?;
    }
    let ceiling = ceiling::run(&options, &postgres, Counting::Statements, batch).await?;
    if let Some(last) = counts.last_mut() {
        *last = of_each(ceiling.statements.as_ref(), ceiling.sign_ins);
    }
    writeln!(to, "{batch} messages are settled at a time; what pgbench runs and the store did not:")?;
    for statement in ceiling.statements.unwrap_or_default().keys().filter(|statement| !ours.contains_key(*statement)) {
        writeln!(to, "  {statement}")?;
    }
    Ok((batch, counts))
}

fn of_each(statements: Option<&Statements>, sign_ins: f64) -> f64 {
    statements.into_iter().flatten().map(|(_, (calls, _))| calls).sum::<f64>() / sign_ins
}

/// How many messages were settled at a time.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number that is at least one")]
fn in_a_batch(report: &Report) -> u32 {
    (report.operations("verify") / report.operations("settle")).round().clamp(1.0, 16.0) as u32
}

fn of_report(report: &Report, to: &mut impl Write) -> io::Result<Row> {
    if !report.measured.errors.is_empty() {
        report.print_errors(to)?;
    }
    // What it cost is spread over all who came to an end meanwhile, also over those who had begun before.
    let sign_ins = report.operations("verify");
    let operations: f64 = ["start", "lease", "settle", "verify"].map(|name| report.operations(name)).iter().sum();
    let row = Row {
        rate: report.sign_ins() / report.seconds(),
        server: report.used.server.as_secs_f64() / sign_ins * 1e6,
        load: report.used.load.as_secs_f64() / sign_ins * 1e6,
        ..Row::default()
    };
    // What one does in a file makes no trips.
    Ok(report.used.database.map_or(row, |used| Row { trips: operations * 2.0 / sign_ins, ..row.with(used, sign_ins) }))
}

fn of_ceiling(ceiling: &Ceiling) -> Row {
    let load = ceiling.load.as_secs_f64() / ceiling.sign_ins * 1e6;
    let row = Row { rate: ceiling.rate, load, trips: ceiling.trips, ..Row::default() };
    row.with(ceiling.database, ceiling.sign_ins)
}

impl Row {
    fn with(self, used: Figures, sign_ins: f64) -> Self {
        Self {
            database: used.processor.as_secs_f64() / sign_ins * 1e6,
            log: count(used.log) / sign_ins / 1e3,
            images: count(used.images) / sign_ins / 1e3,
            syncs: count(used.syncs) / sign_ins,
            size: count(used.size) / sign_ins / 1e3,
            ..self
        }
    }
}

/// Of each figure the median.
fn median(rows: &[Row]) -> Row {
    let of = |figure: fn(&Row) -> f64| {
        let mut figures: Vec<f64> = rows.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or_default()
    };
    Row {
        rate: of(|row| row.rate),
        server: of(|row| row.server),
        database: of(|row| row.database),
        load: of(|row| row.load),
        trips: of(|row| row.trips),
        log: of(|row| row.log),
        images: of(|row| row.images),
        syncs: of(|row| row.syncs),
        size: of(|row| row.size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_nothing_of_is_left_out() {
        assert_eq!([cell(2.345, 1), cell(0.0, 1)], [" 2.3 |", " |"]);
    }

    #[test]
    fn half_as_much_and_twice_as_much_are_as_much() {
        let (mean, error) = mean(&[0.5, 2.0]);
        assert_eq!(format!("{mean:.3} {error:.3}"), "1.000 0.693");
        assert_eq!(super::mean(&[0.5, 0.5, 0.5]), (0.5, 0.0));
    }

    #[test]
    fn each_figure_has_a_median_of_its_own() {
        let rows = [(1.0, 9.0), (3.0, 7.0), (2.0, 8.0)].map(|(rate, log)| Row { rate, log, ..Row::default() });
        let row = median(&rows);
        assert_eq!((row.rate.to_string(), row.log.to_string()), ("2".to_owned(), "8".to_owned()));
    }
}
