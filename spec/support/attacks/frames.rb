# frozen_string_literal: true

require_relative "table"

# Frames with an opcode and a length: drafts 01 and later.

Attacks.frames "reserved bits", drafts: Attacks::STRICT do
  text = "Reserved bits must be 0"
  { "RSV1" => 0x40, "RSV2" => 0x20, "RSV3" => 0x10, "all three" => 0x70 }.each do |name, bits|
    %i[text binary ping pong close].each do |type|
      fails "#{name} on a #{type} frame", "RFC 6455 5.2", 1002, text do |client|
        client.encode(type, "", reserved: bits)
      end
    end
  end
  fails "RSV2 on a continuation", "RFC 6455 5.2", 1002, text do |client|
    client.encode(:text, "a", last: false) + client.encode(:continuation, "b", reserved: 0x20)
  end
  takes "reserved bits, before anybody minded them", "hybi-03 4.2", [[:text, "x"]],
        drafts: Attacks::LENIENT do |client|
    client.encode(:text, "x", reserved: 0x70)
  end
end

Attacks.frames "opcodes" do
  [*3..7, *11..15].each do |opcode|
    fails "opcode #{opcode}", "RFC 6455 5.2", 1002, "Unknown opcode #{opcode}",
          drafts: Attacks::STRICT do |client|
      client.encode(nil, "x", opcode: opcode)
    end
  end
  (6..15).each do |opcode|
    fails "opcode #{opcode}", "hybi-03 4.2", 1002, "Unknown opcode #{opcode}",
          drafts: Attacks::LENIENT do |client|
      client.encode(nil, "x", opcode: opcode)
    end
  end
  fails "a reserved opcode in a fragment", "RFC 6455 5.2", 1002, "Unknown opcode 3",
        drafts: Attacks::STRICT do |client|
    client.encode(nil, "", opcode: 3, last: false)
  end
end

Attacks.frames "control frames", drafts: Attacks::STRICT do
  %i[ping pong close].each do |type|
    fails "a #{type} in fragments", "RFC 6455 5.5", 1002,
          "Control frames must not be fragmented" do |client|
      client.encode(type, "", last: false)
    end
    fails "a #{type} of 126 bytes", "RFC 6455 5.5", 1002,
          "Control frames must not be longer than 125 bytes" do |client|
      client.encode(type, "\x03\xE8#{"x" * 124}")
    end
    fails "a #{type} that announces 2^62 bytes", "RFC 6455 5.5", 1002,
          "Control frames must not be longer than 125 bytes" do |client|
      client.header(type, 2**62)
    end
  end
  takes "a ping of 125 bytes", "RFC 6455 5.5", [[:pong, "x" * 125]] do |client|
    client.encode(:ping, "x" * 125)
  end
  takes "a ping among fragments", "RFC 6455 5.4", [[:pong, "p"], [:text, "ab"]] do |client|
    client.encode(:text, "a", last: false) + client.encode(:ping, "p") +
      client.encode(:continuation, "b")
  end
  takes "a pong that nobody asked for", "RFC 6455 5.5.3", [[:text, "x"]],
        tells: [[:pong, "p"], [:message, "x"]] do |client|
    client.encode(:pong, "p") + client.encode(:text, "x")
  end
  takes "pings of any length, before it was bounded", "hybi-03 4.2", [[:pong, "x" * 200]],
        drafts: Attacks::LENIENT do |client|
    client.encode(:ping, "x" * 200)
  end
end

Attacks.frames "lengths" do
  [[0, 16], [125, 16], [0, 64], [125, 64], [126, 64], [65_535, 64]].each do |length, bits|
    fails "a length of #{length} in #{bits} bits", "RFC 6455 5.2", 1002, "Invalid frame length",
          drafts: Attacks::STRICT do |client|
      Attacks.frame(client, :text, "", bits: bits, length: length)
    end
  end
  [2**63, (2**64) - 1].each do |length|
    fails "a length of #{length}", "RFC 6455 5.2", 1002, "Invalid frame length",
          drafts: Attacks::STRICT do |client|
      Attacks.frame(client, :binary, "", bits: 64, length: length)
    end
    fails "a length of #{length}", "hybi-03 4.2", 1009, "Frame length too long (#{length} bytes)",
          drafts: Attacks::LENIENT do |client|
      Attacks.frame(client, :binary, "", bits: 64, length: length)
    end
  end
  takes "a length in more bits than it needs, before it was forbidden", "hybi-03 4.2",
        [[:text, "x"]], drafts: Attacks::LENIENT do |client|
    Attacks.frame(client, :text, "x", bits: 64)
  end
end

Attacks.frames "sizes", drafts: Attacks::FRAMED do
  # A strict draft counts the header, and the key where there is one.
  too_long = lambda do |payload, head|
    ->(draft) { "Frame length too long (#{payload + (draft.strict ? head : 0)} bytes)" }
  end
  max_frame = Attacks::MAX_FRAME
  fails "a frame one byte too long", "RFC 6455 10.4", 1009,
        too_long[max_frame + 1, 8] do |client|
    client.encode(:binary, "x" * (max_frame + 1))
  end
  fails "a frame that announces 2^62 bytes", "RFC 6455 10.4", 1009,
        too_long[2**62, 10] do |client|
    client.header(:text, 2**62)
  end
  fails "a frame that announces 2^63 - 1 bytes", "RFC 6455 10.4", 1009,
        too_long[(2**63) - 1, 10] do |client|
    client.header(:binary, (2**63) - 1)
  end
  fails "a fragment that announces too much", "RFC 6455 10.4", 1009,
        too_long[max_frame + 1, 4] do |client|
    client.encode(:text, "x", last: false) + client.header(:continuation, max_frame + 1)
  end
  fails "fragments that add up to too much", "RFC 6455 10.4", 1009,
        "Message length too long (6001 bytes)" do |client|
    client.encode(:binary, "x" * 3000, last: false) +
      client.encode(:continuation, "x" * 3000, last: false) +
      client.encode(:continuation, "x", last: false)
  end
  fails "a fragment that announces more than the message may have left", "RFC 6455 10.4", 1009,
        "Message length too long (7000 bytes)" do |client|
    client.encode(:binary, "x" * 4000, last: false) + client.header(:continuation, 3000)
  end
  takes "a message of 1,000 empty fragments", "RFC 6455 5.4", [[:text, "x"]] do |client|
    client.encode_fragments(:text, ([""] * 1000) + ["x"])
  end
end

Attacks.frames "fragments" do
  fails "a continuation of nothing", "RFC 6455 5.4", 1002, "Continuation frame not expected",
        drafts: Attacks::FRAMED do |client|
    client.encode(:continuation, "x")
  end
  fails "a continuation of nothing, with more to come", "RFC 6455 5.4", 1002,
        "Continuation frame not expected", drafts: Attacks::FRAMED do |client|
    client.encode(:continuation, "x", last: false)
  end
  fails "a continuation of a message that is over", "RFC 6455 5.4", 1002,
        "Continuation frame not expected",
        drafts: Attacks::FRAMED, replies: [[:binary, "ab"]] do |client|
    client.encode_fragments(:binary, %w[a b]) + client.encode(:continuation, "c")
  end
  %i[text binary].each do |type|
    [true, false].each do |last|
      fails "a new #{type} #{last ? "message" : "fragment"} among the fragments of another",
            "RFC 6455 5.4", 1002, "Continuation frame expected",
            drafts: Attacks::STRICT do |client|
        client.encode(:text, "a", last: false) + client.encode(type, "b", last: last)
      end
    end
  end
end

Attacks.frames "masks", drafts: Attacks::STRICT do
  { text: "x", binary: "x", ping: "", close: "\x03\xE8" }.each do |type, payload|
    fails "a #{type} frame without a mask, where it is strict", "RFC 6455 5.1", 1002,
          "Frames from the client must be masked", server: :strict_of_all do |client|
      client.encode(type, payload, masked: false)
    end
  end
  takes "a frame without a mask, by default", "RFC 6455 5.1", [[:text, "x"]] do |client|
    client.encode(:text, "x", masked: false)
  end
  takes "a mask of zeros", "RFC 6455 5.3", [[:text, "x" * 130]], server: :strict_of_all do |client|
    Attacks.frame(client, :text, "x" * 130, bits: 16)
  end
end

Attacks.frames "close frames" do
  fails "a body of one byte", "RFC 6455 5.5.1", 1002,
        "Close frames with a body must contain a 2 byte status code",
        drafts: Attacks::CODED do |client|
    client.encode(:close, "\x03")
  end
  [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1099, 1100, 1999, 2000, 2999, 5000, 9999,
   65_535].each do |code|
    fails "the code #{code}", "RFC 6455 7.4", 1002, "Invalid close code #{code}",
          drafts: Attacks::STRICT do |client|
      client.encode_close(code)
    end
  end
  # 1012 to 1014 are in IANA's registry, as RFC 6455 11.7 has it.
  [1000, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4999].each do |code|
    closes "the code #{code}", "RFC 6455 7.4", code, "why", drafts: Attacks::STRICT do |client|
      client.encode_close(code, "why")
    end
  end
  {
    "bytes that are no UTF-8" => "\xFF", "a character cut short" => "caf\xC3",
    "a surrogate" => "\xED\xA0\x80", "an overlong slash" => "\xC0\xAF"
  }.each do |name, reason|
    fails "a reason with #{name}", "RFC 6455 5.5.1", 1007, "Invalid UTF8 data",
          drafts: Attacks::STRICT do |client|
      client.encode_close(1000, reason)
    end
  end
  closes "a reason that is no UTF-8, before it was checked", "hybi-06 4.5.1", 1000, "",
         drafts: [6] do |client|
    client.encode_close(1000, "\xFF")
  end
end

Attacks.frames "data after the close", drafts: Attacks::FRAMED do
  closes "a message behind the close", "RFC 6455 5.5.1", nil, nil do |client|
    client.encode_close + client.encode(:text, "late")
  end
  closes "a ping behind the close", "RFC 6455 5.5.1", nil, nil do |client|
    client.encode_close + client.encode(:ping, "late")
  end
  closes "a second close", "RFC 6455 5.5.1", nil, nil do |client|
    client.encode_close * 2
  end
  closes "broken frames behind the close", "RFC 6455 5.5.1", nil, nil do |client|
    client.encode_close + ("\xFF".b * 100)
  end
  closes "a close among fragments", "RFC 6455 5.4", nil, nil do |client|
    client.encode(:text, "a", last: false) + client.encode_close +
      client.encode(:continuation, "b")
  end
  fails "a message behind a failure", "RFC 6455 7.1.7", 1002, "Unknown opcode 15" do |client|
    client.encode(nil, "", opcode: 15) + client.encode(:text, "late")
  end
end
