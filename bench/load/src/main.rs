//! The load generator: puts one load on one server, checks every byte that comes back, and prints
//! one line of JSON: how many units were done, and what they cost the server's process.
//!
//! One thread, one epoll; frames are masked before the clock starts and compared without being
//! taken apart, so that where server and client share a CPU little of it goes to the client.

mod arguments;
mod cells;
mod credit;
mod cycle;
mod fleet;
mod opening;
mod poll;
mod report;
mod stream;
mod usage;

use std::{error::Error, process::ExitCode};

use arguments::Arguments;
use report::Report;

/// Error that ends a run; its text is all there is to know.
pub(crate) type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    match run() {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Report, Failure> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    match arguments.cell.as_str() {
        "echo" => cells::echo::run(&arguments),
        "broadcast" => cells::broadcast::run(&arguments),
        "publish" => cells::broadcast::last_receiver(&arguments),
        "fire" => cells::fire::run(&arguments),
        "connect" => cells::connect::run(&arguments),
        "idle" => cells::idle::run(&arguments),
        "pingpong" => cells::latency::pingpong(&arguments),
        "open" => cells::latency::open_loop(&arguments),
        other => Err(format!("there is no cell {other}").into()),
    }
}
