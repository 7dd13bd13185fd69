# frozen_string_literal: true

require "zlib"
require_relative "table"

# permessage-deflate: what is offered, and what is sent where it was agreed upon.

module Attacks
  RSV1 = 0x40

  # Deflated as RFC 7692 7.2.1 has it.
  def self.deflate(*texts, stream: Zlib::Deflate.new(9, -15))
    texts.map do |text|
      stream.deflate(text, Zlib::SYNC_FLUSH).delete_suffix("\x00\x00\xFF\xFF".b)
    end.last
  end
end

Attacks.handshakes "offers of compression", server: :compressing, drafts: Attacks::STRICT do
  {
    "a parameter that is not known" => "permessage-deflate; level=9",
    "a window below 8 bits" => "permessage-deflate; server_max_window_bits=7",
    "a window above 15 bits" => "permessage-deflate; client_max_window_bits=16",
    "a window of many bits" => "permessage-deflate; client_max_window_bits=#{"9" * 500}",
    "a window with a leading zero" => "permessage-deflate; server_max_window_bits=08",
    "a negative window" => "permessage-deflate; server_max_window_bits=-9",
    "a window that is not named" => "permessage-deflate; server_max_window_bits",
    "a parameter twice" => "permessage-deflate#{"; server_no_context_takeover" * 2}",
    "a value for what has none" => "permessage-deflate; client_no_context_takeover=1",
    "a quoted string without its end" => 'permessage-deflate; server_max_window_bits="10',
    "nothing but separators" => "; , ;;,,=",
    "another extension" => "x-webkit-deflate-frame",
    "5,000 parameters" => "permessage-deflate#{";a" * 5000}"
  }.each do |name, offer|
    opens "#{name}, declined", "RFC 7692 7.1", headers: { "Sec-WebSocket-Extensions" => offer },
                                               absent: /\ASec-WebSocket-Extensions:/i
  end
end

offered = { headers: { "Sec-WebSocket-Extensions" => "permessage-deflate" } }
rsv1 = Attacks::RSV1

Attacks.frames "the compressed bit", server: :compressing, drafts: Attacks::STRICT, **offered do
  text = "Reserved bits must be 0"
  fails "RSV1 where compression was not offered", "RFC 7692 6", 1002, text,
        headers: {} do |client|
    client.encode(:text, Attacks.deflate("x"), reserved: rsv1)
  end
  fails "RSV1 on a continuation", "RFC 7692 6.1", 1002, text do |client|
    client.encode(:text, "a", last: false) + client.encode(:continuation, "b", reserved: rsv1)
  end
  fails "RSV1 on the continuation of a compressed message", "RFC 7692 6.1", 1002, text do |client|
    client.encode(:text, Attacks.deflate("a"), last: false, reserved: rsv1) +
      client.encode(:continuation, "", reserved: rsv1)
  end
  %i[ping pong close].each do |type|
    fails "RSV1 on a #{type}", "RFC 7692 6.1", 1002, text do |client|
      client.encode(type, "", reserved: rsv1)
    end
  end
  [0x20, 0x10, 0x60].each do |bits|
    fails "the reserved bits #{bits.to_s(16)}", "RFC 6455 5.2", 1002, text do |client|
      client.encode(:text, Attacks.deflate("x"), reserved: bits)
    end
  end
  takes "a message that is not compressed", "RFC 7692 6", [[:text, "x"]] do |client|
    client.encode(:text, "x")
  end
  takes "a ping among compressed fragments", "RFC 7692 6.1",
        [[:pong, "p"], [:text, "ab"]] do |client|
    payload = Attacks.deflate("ab")
    client.encode(:text, payload[0], last: false, reserved: rsv1) + client.encode(:ping, "p") +
      client.encode(:continuation, payload[1..])
  end
end

Attacks.frames "compressed data", server: :compressing, drafts: Attacks::STRICT, **offered do
  text = "Invalid compressed data"
  {
    "a block of the reserved type" => "\x07", "a stored block whose lengths disagree" =>
      "\x00\x05\x00\x05\x00hello", "a block of impossible codes" => "\xFF\xFF\xFF\xFF",
    "a reference to what never was" => "\x4A\x04\x11\x00\x00"
  }.each do |name, bytes|
    fails name, "RFC 7692 7.2.2", 1007, text do |client|
      client.encode(:text, bytes, reserved: rsv1)
    end
  end
  fails "data cut short", "RFC 7692 7.2.2", 1007, text do |client|
    client.encode(:binary, Attacks.deflate("hello " * 20)[0..-4], reserved: rsv1)
  end
  fails "a reference to a message whose context was not to be taken over", "RFC 7692 7.1.1.2",
        1007, text, headers: {
          "Sec-WebSocket-Extensions" => "permessage-deflate; client_no_context_takeover"
        } do |client|
    client.encode(:text, Attacks.deflate("hello hello", "hello hello"), reserved: rsv1)
  end
  fails "text that is no UTF-8", "RFC 6455 8.1", 1007, "Invalid UTF8 data" do |client|
    client.encode(:text, Attacks.deflate("a\xC0\xAFb".b), reserved: rsv1)
  end
  fails "a close frame with a bad code", "RFC 6455 7.4", 1002, "Invalid close code 1005" do |client|
    client.encode_close(1005)
  end
end

Attacks.frames "bombs", server: :compressing, drafts: Attacks::STRICT, **offered do
  text = "Message length too long (#{Attacks::MAX_MESSAGE + 1} bytes)"
  fails "2 KB that inflate to 2 MB", "RFC 7692 8", 1009, text do |client|
    client.encode(:binary, Attacks.deflate("\0" * 2_000_000), reserved: rsv1)
  end
  fails "a message that inflates to one byte too many", "RFC 7692 8", 1009, text do |client|
    client.encode(:text, Attacks.deflate("x" * (Attacks::MAX_MESSAGE + 1)), reserved: rsv1)
  end
  fails "a bomb in fragments", "RFC 7692 8", 1009, text do |client|
    first, *others = Attacks.deflate("\0" * 2_000_000).scan(/.{1,50}/mn)
    client.encode(:binary, first, last: false, reserved: rsv1) +
      client.encode_fragments(:continuation, others)
  end
  fails "a bomb with more to come", "RFC 7692 8", 1009, text do |client|
    client.encode(:binary, Attacks.deflate("\0" * 2_000_000), last: false, reserved: rsv1)
  end
  takes "a message that inflates to all that is allowed", "RFC 7692 8",
        [[:text, "x" * Attacks::MAX_MESSAGE]] do |client|
    client.encode(:text, Attacks.deflate("x" * Attacks::MAX_MESSAGE), reserved: rsv1)
  end
end
