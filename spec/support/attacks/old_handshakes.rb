# frozen_string_literal: true

require_relative "table"

# Opening handshakes of the drafts before 04, which have no other defence than their keys.

Attacks.handshakes "the two keys", drafts: Attacks::CHALLENGES do
  section = "hixie-76 5.2"
  %w[Sec-WebSocket-Key1 Sec-WebSocket-Key2].each do |name|
    key = Drafts::KEYS[name]
    # Without the first key, and without a number of its draft, it is a request of draft 75.
    missing = name.end_with?("1") ? Attacks::CHALLENGES - [76] : Attacks::CHALLENGES
    refuses "no #{name}", section, 400, "WebSocket key1 or key2 is missing",
            headers: { name => nil }, drafts: missing
    refuses "#{name} twice", section, 400, "Invalid Key #{[key, key].inspect}",
            headers: { name => [key, key] }
    refuses "#{name} without spaces", section, 400,
            "Websocket Key1 or Key2 does not contain spaces - " \
            "this is a symptom of a cross-protocol attack",
            headers: { name => key.delete(" ") }
    refuses "#{name} whose spaces do not divide its number", section, 400,
            'Invalid Key "12998 5 Y3 1.P00"', headers: { name => "12998 5 Y3 1.P00" }
    refuses "#{name} with a number beyond 32 bits", section, 400,
            'Challenge computation out of range for key "1 42949672960"',
            headers: { name => "1 42949672960" }
    refuses "#{name} with a number of 4,000 digits", section, 400,
            /\AChallenge computation out of range for key /, headers: { name => "1 #{"9" * 4000}" }
  end
  refuses "bytes behind the third key", "hixie-76 5.1", 400, "Extra bytes after third key",
          body: "^n:ds[4U\0early\xFF"
  refuses "an empty subprotocol", "hixie-76 4.1", 400, "Invalid WebSocket-Protocol: empty",
          headers: { "Sec-WebSocket-Protocol" => "" }
end

Attacks.handshakes "draft 75", drafts: [75] do
  refuses "bytes behind the header", "hixie-75 5.2", 400, "Extra bytes after header",
          body: "\0early\xFF"
  hangs_up_on "no upgrade", "hixie-75 5.2", "Not an upgrade request", headers: { "Upgrade" => nil }
  refuses "another protocol", "hixie-75 5.2", 400, 'Invalid upgrade header: "h2c"',
          headers: { "Upgrade" => "h2c" }
  # The location that is answered is made of it.
  refuses "a bare CR in Host", "RFC 9112 2.2", 400, Attacks::NO_HTTP,
          headers: { "Host" => "a\rX: b" }
  refuses "a bare CR in Origin", "RFC 9112 2.2", 400, Attacks::NO_HTTP,
          headers: { "Origin" => "a\rX: b" }
end

Attacks.handshakes "the number of a draft", drafts: [3] do
  refuses "draft 4", "hybi-03 5.2", 426, "Protocol version 4 not supported",
          headers: { "Sec-WebSocket-Draft" => "4" }
  refuses "draft 0", "hybi-03 5.2", 426, "Protocol version 0 not supported",
          headers: { "Sec-WebSocket-Draft" => "0" }
end

Attacks.handshakes "a version that is not spoken", server: :strict do
  (Attacks::ALL - [13, 8]).each do |number|
    refuses "draft #{number}", "RFC 6455 4.4", 426, "Protocol version #{number} not supported",
            drafts: [number]
  end
  opens "a version that is", "RFC 6455 4.4", drafts: [13, 8]
end
