//! Every connection sends without waiting; then it asks how many messages the server's block has
//! counted, and that must be all. The unit is a message.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::net::sockopt::set_socket_send_buffer_size;

use super::window::Window;
use crate::{
    arguments::Arguments,
    cycle::{question, Cycle},
    fleet::{Fleet, GLANCE},
    report::Report,
    stream::Received,
    Failure,
};

/// In one write, where the socket takes it.
const PIECE: usize = 64 * 1024;

/// Bytes of a connection's messages that the system may hold, so that no server has minutes of work
/// before it when the firing ends.
const HELD: usize = 128 * 1024;

pub(crate) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let cycle = Cycle::new(arguments.bytes, PIECE / arguments.bytes.max(1));
    let mut fleet = Fleet::open(arguments, cycle)?;
    for lane in &fleet.lanes {
        set_socket_send_buffer_size(&lane.stream.socket, HELD)?;
    }
    shoot(&mut fleet, arguments.warm)?;
    let mut window = Window::new(arguments, 0);
    window.open(count(&mut fleet)?)?;
    shoot(&mut fleet, arguments.seconds)?;
    let units = count(&mut fleet)?;
    window.close(units)
}

fn shoot(fleet: &mut Fleet, duration: Duration) -> Result<(), Failure> {
    let messages = (PIECE as u64).div_ceil(fleet.cycle.sent_len());
    let since = Instant::now();
    for token in 0..fleet.lanes.len() {
        fleet.send(token, messages)?;
    }
    while since.elapsed() < duration {
        fleet.check_deadline()?;
        for token in 0..fleet.lanes.len() {
            if !fleet.lanes[token].watched {
                fleet.send(token, messages)?;
            }
        }
        if fleet.lanes.iter().all(|lane| lane.watched) {
            fleet.turn(GLANCE, |_, _, _| Err("nobody asked for this".into()))?;
        }
    }
    for token in 0..fleet.lanes.len() {
        fleet.lanes[token].stop(&fleet.cycle);
        fleet.pump(token)?;
    }
    while fleet.lanes.iter().any(|lane| lane.watched) {
        fleet.check_deadline()?;
        fleet.turn(GLANCE, |_, _, _| Err("nobody asked for this".into()))?;
    }
    Ok(())
}

/// Asks every connection, and adds up.
fn count(fleet: &mut Fleet) -> Result<u64, Failure> {
    let question = question();
    for lane in &mut fleet.lanes {
        let mut rest = &question[..];
        while !rest.is_empty() {
            let len = lane.stream.transmit(rest)?;
            rest = &rest[len..];
            if len == 0 {
                // What waits before it takes a while.
                sleep(Duration::from_millis(1));
            }
        }
    }
    let mut answers = vec![Vec::new(); fleet.lanes.len()];
    let mut open = answers.len();
    let mut total = 0;
    while open > 0 {
        fleet.check_deadline()?;
        for index in 0..fleet.poll.wait(GLANCE)? {
            let token = fleet.poll.ready(index).token;
            let lane = &mut fleet.lanes[token];
            let answer = &mut answers[token];
            let outcome = lane.stream.receive(&mut fleet.scratch, |bytes| {
                answer.extend_from_slice(bytes);
                Ok(())
            })?;
            if let Some(counted) = number(answer) {
                let sent = lane.messages_sent(&fleet.cycle);
                if counted != sent {
                    return Err(format!("{sent} were sent and {counted} counted").into());
                }
                total += counted;
                open -= 1;
            } else if outcome == Received::End {
                return Err("the server ended a connection".into());
            }
        }
    }
    Ok(total)
}

/// The number in a text frame, once it is complete.
fn number(frame: &[u8]) -> Option<u64> {
    let (&[_, len], digits) = frame.split_first_chunk()?;
    (digits.len() == usize::from(len)).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}
