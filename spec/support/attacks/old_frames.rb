# frozen_string_literal: true

require_relative "table"

# Frames of the drafts 75 and 76: 00, text, FF; or a length and what it counts.

Attacks.frames "frames between 00 and FF", drafts: Attacks::SENTINELS do
  [0x01, 0x20, 0x47, 0x7F].each do |byte|
    fails "a frame of the type #{format("%02X", byte)}", "hixie-76 5.3", 1002,
          "Invalid frame received" do
      "#{byte.chr}abc\xFF".b
    end
  end
  fails "bytes between two frames", "hixie-76 5.3", 1002, "Invalid frame received",
        replies: [[:text, "ok"]] do
    "\0ok\xFFabc\0late\xFF".b
  end
  max = Attacks::MAX_FRAME
  fails "a text one byte too long", "hixie-76 5.3", 1009,
        "Frame length too long (#{max + 1} bytes)" do |client|
    client.encode(:text, "x" * (max - 1))
  end
  fails "a text that never ends", "hixie-76 5.3", 1009,
        "Frame length too long (#{max + 1} bytes)" do
    "\0#{"x" * max}".b
  end
  fails "a length that is too long", "hixie-76 5.3", 1009,
        "Frame length too long (#{max + 1} bytes)" do
    [0x80, 0x80 | ((max + 1) >> 7), (max + 1) & 0x7F].pack("CCC")
  end
  fails "a length of 64 bits", "hixie-76 5.3", 1009, "Frame length too long (#{2**63} bytes)" do
    "\x80\x81#{"\x80" * 8}\x00".b
  end
  fails "a length that never ends", "hixie-76 5.3", 1009,
        /\AFrame length too long \(\d+ bytes\)\z/ do
    "\x80".b + ("\xFF".b * 1000)
  end
  takes "a frame with its length, skipped", "hixie-76 5.3", [[:text, "next"]] do
    "\x80\x03abc\0next\xFF".b
  end
  takes "a length with leading zeros", "hixie-76 5.3", [[:text, "next"]] do
    "\x80#{"\x80" * 50}\x03abc\0next\xFF".b
  end
  closes "a message behind the close", "hixie-76 5.3", nil, nil do
    "\xFF\x00\0late\xFF".b
  end
  closes "a second close", "hixie-76 5.3", nil, nil do
    "\xFF\x00\xFF\x00".b
  end
end
