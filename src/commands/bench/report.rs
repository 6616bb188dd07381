//! What was found: tables for a person, one JSON object for a program.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::attribution::Cost;
use super::drain::{Drain, Round};
use super::fanout::Fanout;
use super::latency::{Latency, percentile};
use super::start::Start;
use super::workload::Workload;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Report {
    congestion_control: String,
    cores: usize,
    scale: f64,
    rounds: u32,
    drains: Vec<(String, Vec<Round>)>,
    pub(super) start: Option<Start>,
    pub(super) latency: Option<Latency>,
    pub(super) fanout: Vec<Fanout>,
    pub(super) attribution: Vec<Cost>,
}

impl Report {
    /// Nothing measured yet.
    pub(super) fn of_this_machine(scale: f64, rounds: u32) -> Self {
        let congestion_control = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
        let congestion_control = congestion_control.map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { congestion_control, cores, scale, rounds, ..Self::default() }
    }

    /// Adds a round.
    pub(super) fn drained(&mut self, workload: &Workload, round: Round) {
        let name = workload.to_string();
        match self.drains.iter_mut().find(|(of, _)| *of == name) {
            Some((_, rounds)) => rounds.push(round),
            None => self.drains.push((name, vec![round])),
        }
    }

    /// All of it.
    pub(super) fn json(&self) -> Value {
        let drain = |drain: &Drain, round: &Round| {
            json!({
                "wall_s": drain.wall.as_secs_f64(),
                "ratio": ratio(drain, round),
                "cpu_s_per_million": drain.cpu.map(|cpu| per_million(cpu, round.changes)),
                "walsender_cpu_s_per_million": drain.walsender_cpu.map(|cpu| per_million(cpu, round.changes)),
                "peak_bytes": drain.memory,
            })
        };
        let rounds = |rounds: &[Round]| -> Vec<Value> {
            let ways = |r: &Round| json!({"pg_recvlogical": drain(&r.pg_recvlogical, r), "tcp": drain(&r.tcp, r), "socket": drain(&r.socket, r), "journal": drain(&r.journal, r)});
            rounds.iter().map(ways).collect()
        };
        let drains: Vec<_> = self.drains.iter().map(|(name, all)| json!({"workload": name, "rounds": rounds(all)})).collect();
        let start = self.start.map(|start| {
            json!({
                "tables": start.tables, "exact_s": start.exact.as_secs_f64(), "idle_wake_ups_per_s": start.idle_wake_ups,
                "idle_cpu_s_per_s": start.idle_cpu.map(|cpu| cpu.as_secs_f64()), "bytes": start.memory,
            })
        });
        let micros = |times: &[Duration], share| percentile(times, share).map(|time| time.as_micros());
        let latency = self.latency.as_ref().map(|Latency { floor, client, under_load }| {
            let both = |times: &[Duration]| json!({"p50_us": micros(times, 0.5), "p99_us": micros(times, 0.99)});
            json!({"floor": both(floor), "client": both(client), "under_load": both(under_load)})
        });
        let fanout = |f: &Fanout| {
            json!({
                "clients": f.clients, "events": f.events, "events_per_s": f.events as f64 / f.wall.as_secs_f64(),
                "cpu_s_per_million": f.cpu.map(|cpu| per_million(cpu, f.events)), "bytes_per_client": f.memory_per_client,
            })
        };
        json!({
            "machine": {"cores": self.cores, "tcp_congestion_control": self.congestion_control},
            "scale": self.scale, "rounds": self.rounds, "start": start, "drains": drains, "latency": latency,
            "fanout": self.fanout.iter().map(fanout).collect::<Vec<_>>(),
            "attribution": self.attribution.iter().map(Cost::json).collect::<Vec<_>>(),
        })
    }
}

fn ratio(drain: &Drain, round: &Round) -> f64 {
    drain.wall.as_secs_f64() / round.pg_recvlogical.wall.as_secs_f64()
}

fn per_million(time: Duration, events: u64) -> f64 {
    time.as_secs_f64() * 1e6 / events as f64
}

/// The value in the middle.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} cores, tcp_congestion_control = {}, scale {}", self.cores, self.congestion_control, self.scale)?;
        if let Some(Start { tables, exact, idle_cpu, idle_wake_ups, memory }) = self.start {
            let percent = idle_cpu.map(|cpu| cpu.as_secs_f64() * 100.0);
            let memory = memory.map(|bytes| bytes as f64 / f64::from(1 << 20));
            writeln!(f, "\nStart: {tables} tables, all exact after {} s", number(Some(exact.as_secs_f64())))?;
            writeln!(
                f,
                "Idle: {} % of a CPU, {} wake-ups/s, {} MiB resident",
                number(percent),
                number(idle_wake_ups),
                number(memory)
            )?;
        }
        for (name, rounds) in &self.drains {
            writeln!(f, "\nDrain: {name}; median of {} rounds, ratios within each round", rounds.len())?;
            writeln!(
                f,
                "{:<31}{:>10}{:>10}{:>16}{:>20}{:>12}",
                "", "wall s", "ratio", "CPU s/million", "walsender s/million", "peak MiB"
            )?;
            type Pick = fn(&Round) -> &Drain;
            let ways: [(&str, Pick); 4] = [
                ("pg_recvlogical, TCP", |round| &round.pg_recvlogical),
                ("pgvigil, TCP", |round| &round.tcp),
                ("pgvigil, unix socket", |round| &round.socket),
                ("pgvigil, unix socket, journal", |round| &round.journal),
            ];
            for (way, pick) in ways {
                let wall = median(rounds.iter().map(|round| pick(round).wall.as_secs_f64()));
                let ratio = median(rounds.iter().map(|round| ratio(pick(round), round)));
                let cpu = median(rounds.iter().filter_map(|round| Some(per_million(pick(round).cpu?, round.changes))));
                let server =
                    median(rounds.iter().filter_map(|round| Some(per_million(pick(round).walsender_cpu?, round.changes))));
                let memory = median(rounds.iter().filter_map(|round| Some(pick(round).memory? as f64 / f64::from(1 << 20))));
                writeln!(
                    f,
                    "{way:<31}{:>10}{:>10}{:>16}{:>20}{:>12}",
                    number(wall),
                    number(ratio),
                    number(cpu),
                    number(server),
                    number(memory)
                )?;
            }
        }
        if let Some(Latency { floor, client, under_load }) = &self.latency {
            writeln!(f, "\nFrom the return of COMMIT, {} commits", client.len())?;
            writeln!(f, "{:<44}{:>10}{:>10}", "", "p50 µs", "p99 µs")?;
            let lines = [
                ("bytes on a bare replication connection", floor),
                ("WebSocket client of pgvigil", client),
                ("the same beside 10,000 changes a second", under_load),
            ];
            for (name, times) in lines {
                let micros = |share| percentile(times, share).map(|time| time.as_micros() as f64);
                writeln!(f, "{name:<44}{:>10}{:>10}", number(micros(0.5)), number(micros(0.99)))?;
            }
        }
        if !self.fanout.is_empty() {
            writeln!(f, "\nFan-out of events of 300 bytes; the clients share this machine")?;
            writeln!(
                f,
                "{:>10}{:>14}{:>18}{:>20}{:>18}",
                "clients", "events", "million events/s", "CPU s/million", "KiB a client"
            )?;
            for fanout in &self.fanout {
                let rate = fanout.events as f64 / fanout.wall.as_secs_f64() / 1e6;
                let cpu = fanout.cpu.map(|cpu| per_million(cpu, fanout.events));
                let memory = fanout.memory_per_client.map(|bytes| bytes as f64 / 1024.0);
                writeln!(
                    f,
                    "{:>10}{:>14}{:>18}{:>20}{:>18}",
                    fanout.clients,
                    fanout.events,
                    number(Some(rate)),
                    number(cpu),
                    number(memory)
                )?;
            }
        }
        if !self.attribution.is_empty() {
            let rounds = self.rounds;
            writeln!(
                f,
                "\nAttribution: pgbench on a server that waits for no disk; median of {rounds} rounds, ratios within each"
            )?;
            writeln!(
                f,
                "{:<34}{:>10}{:>10}{:>20}{:>10}{:>20}{:>10}",
                "a transaction", "tps", "CPU us", "delete, truncate", "CPU us", "every operation", "CPU us"
            )?;
        }
        for cost in &self.attribution {
            write!(f, "{:<34}", cost.workload)?;
            for (width, [speed, cpu]) in [10, 20, 20].into_iter().zip(cost.medians()) {
                write!(f, "{:>width$}{:>10}", number(speed), number(cpu))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Cost {
    /// For each way: transactions a second, of the others as ratio to the first, and the server's CPU time for one.
    fn medians(&self) -> [[Option<f64>; 2]; 3] {
        [0, 1, 2].map(|way| {
            let runs = || self.rounds.iter().filter_map(move |round| Some((round.first()?, round.get(way)?)));
            let speed = median(runs().map(|(without, run)| if way == 0 { run.tps } else { run.tps / without.tps }));
            [speed, median(runs().filter_map(|(_, run)| run.cpu_us))]
        })
    }

    fn json(&self) -> Value {
        let [without, default, every] = self.medians();
        let way = |name: &str, [speed, cpu]: [Option<f64>; 2]| json!({name: speed, "cpu_us": cpu});
        json!({
            "workload": self.workload, "without": way("tps", without), "default": way("tps_ratio", default),
            "every": way("tps_ratio", every),
        })
    }
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.2}"),
    }
}
