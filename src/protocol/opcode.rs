//! Opcodes (RFC 6455 section 5.2, and the numbering of the drafts before 07).

use super::version::Opcodes;

/// Opcode of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opcode {
    /// More of the message whose first fragment came before.
    Continuation,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
    /// The closing handshake.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping, or comes unasked.
    Pong,
}

impl Opcode {
    /// True if this is a control frame (RFC 6455 section 5.5).
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Each opcode with its number in the drafts 03 to 06, and from 07 on.
const NUMBERS: [(Opcode, u8, u8); 6] = [
    (Opcode::Continuation, 0x0, 0x0),
    (Opcode::Text, 0x4, 0x1),
    (Opcode::Binary, 0x5, 0x2),
    (Opcode::Close, 0x1, 0x8),
    (Opcode::Ping, 0x2, 0x9),
    (Opcode::Pong, 0x3, 0xA),
];

impl Opcodes {
    /// The opcode of a number; `None` where the number is reserved.
    pub fn decode(self, nibble: u8) -> Option<Opcode> {
        NUMBERS.iter().find(|row| self.number(row) == nibble).map(|row| row.0)
    }

    /// The number of an opcode.
    pub fn encode(self, opcode: Opcode) -> u8 {
        let row = NUMBERS.iter().find(|row| row.0 == opcode);
        self.number(row.expect("every opcode has its row"))
    }

    fn number(self, row: &(Opcode, u8, u8)) -> u8 {
        match self {
            Self::Draft => row.1,
            Self::Rfc => row.2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_goes_there_and_back() {
        for table in [Opcodes::Draft, Opcodes::Rfc] {
            let known: Vec<_> = (0..16).filter_map(|n| Some((n, table.decode(n)?))).collect();
            assert_eq!(known.len(), 6);
            for (number, opcode) in known {
                assert_eq!(table.encode(opcode), number);
            }
        }
        assert_eq!(Opcodes::Rfc.decode(3), None);
        assert_eq!(Opcodes::Draft.decode(0x8), None);
    }
}
