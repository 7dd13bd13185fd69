//! Many open connections and the poll that watches them.

use std::time::{Duration, Instant};

use crate::{
    arguments::Arguments,
    credit::Lane,
    cycle::Cycle,
    opening::{Answer, REQUEST},
    poll::Poll,
    stream::{Dialect, Received, Stream},
    Failure,
};

const SCRATCH: usize = 256 * 1024;

/// No wait is longer: clocks are looked at between two.
pub(crate) const GLANCE: Duration = Duration::from_millis(20);

pub(crate) struct Fleet {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) poll: Poll,
    pub(crate) cycle: Cycle,
    pub(crate) scratch: Vec<u8>,
    dialect: Dialect,
    deadline: Instant,
}

impl Fleet {
    pub(crate) fn new(arguments: &Arguments, cycle: Cycle) -> Result<Self, Failure> {
        Ok(Self {
            lanes: Vec::new(),
            poll: Poll::new()?,
            cycle,
            scratch: vec![0; SCRATCH],
            dialect: Dialect::new(arguments.tls)?,
            deadline: Instant::now() + arguments.limit,
        })
    }

    /// A fleet whose connections are all open.
    pub(crate) fn open(arguments: &Arguments, cycle: Cycle) -> Result<Self, Failure> {
        let mut fleet = Self::new(arguments, cycle)?;
        fleet.grow(arguments, arguments.connections)?;
        Ok(fleet)
    }

    /// Opens connections, one after the other, until there are so many.
    pub(crate) fn grow(
        &mut self,
        arguments: &Arguments,
        connections: usize,
    ) -> Result<(), Failure> {
        while self.lanes.len() < connections {
            let mut stream = Stream::connect(arguments.address, &self.dialect)?;
            stream.transmit(REQUEST)?;
            let token = self.lanes.len();
            self.poll.add(&stream.socket, token)?;
            let mut answer = Answer::default();
            let mut complete = false;
            while !complete {
                self.check_deadline()?;
                for index in 0..self.poll.wait(GLANCE)? {
                    if self.poll.ready(index).token != token {
                        return Err("a connection that was asked nothing speaks".into());
                    }
                    let outcome = stream.receive(&mut self.scratch, |bytes| {
                        complete = answer.feed(bytes)?;
                        Ok(())
                    })?;
                    if outcome == Received::End {
                        return Err("the server refused a connection".into());
                    }
                }
            }
            self.lanes.push(Lane::new(stream));
        }
        Ok(())
    }

    /// Past it, all is over.
    pub(crate) fn check_deadline(&self) -> Result<(), Failure> {
        if Instant::now() < self.deadline {
            Ok(())
        } else {
            Err("it takes too long".into())
        }
    }

    pub(crate) fn deadline_passed(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Sends what a lane may send, and has the poll watch for room where there is none.
    pub(crate) fn pump(&mut self, token: usize) -> Result<(), Failure> {
        let lane = &mut self.lanes[token];
        let blocked = !lane.pump(&self.cycle)?;
        if blocked != lane.watched {
            self.poll.watch_writing(&lane.stream.socket, token, blocked)?;
            lane.watched = blocked;
        }
        Ok(())
    }

    /// Lets a lane send more.
    pub(crate) fn send(&mut self, token: usize, messages: u64) -> Result<(), Failure> {
        self.lanes[token].allow(messages, &self.cycle);
        self.pump(token)
    }

    /// Waits once, reads what has come, and calls `completed` with a lane's number and how many
    /// messages came to it. Lanes with room to write send on.
    pub(crate) fn turn(
        &mut self,
        timeout: Duration,
        mut completed: impl FnMut(&mut Self, usize, u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for index in 0..self.poll.wait(timeout)? {
            let ready = self.poll.ready(index);
            if ready.writable {
                self.pump(ready.token)?;
            }
            if ready.readable {
                let lane = &mut self.lanes[ready.token];
                let messages = lane.receive(&mut self.scratch, &self.cycle)?;
                if messages > 0 {
                    completed(self, ready.token, messages)?;
                }
            }
        }
        Ok(())
    }

    /// One message on every connection, and its echo.
    pub(crate) fn echo_once(&mut self) -> Result<(), Failure> {
        // So many are in flight at most.
        const ABREAST: usize = 100;
        let mut next = ABREAST.min(self.lanes.len());
        for token in 0..next {
            self.send(token, 1)?;
        }
        let mut echoed = 0;
        while echoed < self.lanes.len() {
            self.check_deadline()?;
            self.turn(GLANCE, |fleet, _, messages| {
                echoed += messages as usize;
                if next < fleet.lanes.len() {
                    fleet.send(next, 1)?;
                    next += 1;
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
