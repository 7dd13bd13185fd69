# frozen_string_literal: true

# Words of a client of one draft, and of its server. Every test body that runs "on every draft"
# reads its row here; a new draft is a new row.
Draft = Struct.new(
  :number,       # what `Handshake#protocol_version` answers
  :headers,      # request headers beside Host, Upgrade, Connection and Origin
  :body,         # bytes after the request's header
  :status,       # the response's status line
  :answers,      # the response's header lines, in order; %<port>s and %<target>s are filled in
  :trailer,      # bytes after the response's header
  :framing,      # :sentinel (00 ... FF) or :length
  :last_bit,     # the value of the top bit on the last fragment
  :opcodes,      # type => number
  :masking,      # :never, :leading (header masked too) or :flagged (after the length)
  :limit_counts, # what max_frame_size is compared with: :buffer, :payload or :frame
  :close,        # the server's own close: :tcp, :empty, :s or :code
  :reply,        # its answer to the client's: :terminate, :body or :code
  :strict,       # is the order of fragments insisted upon?
  keyword_init: true
) do
  def pingable? = framing == :length
  def binary? = framing == :length
  def close_codes? = close == :code
  def to_s = "draft #{number}"

  # Body of the close frame of the server's `close(code, reason)`.
  def close_body(code = nil, reason = nil)
    case close
    when :empty then "".b
    when :s then "S".b
    when :code then code ? [code].pack("n") + reason.to_s.b : "".b
    end
  end

  # Body of the server's answer to the client's close frame.
  def reply_body(code = nil, reason = nil)
    case reply
    when :body then code ? [code].pack("n") + reason.to_s.b : "".b
    when :code then [code || 1000].pack("n")
    end
  end

  # Event of `onclose` after the client closed with this code.
  def close_event(code = nil, reason = nil)
    return { code: 1006, was_clean: false } unless pingable?
    return { code: 1005, reason: "", was_clean: true } unless code && close_codes?

    { code: code, reason: reason.to_s, was_clean: true }
  end
end

# The table: each row is the one before it, except ...
module Drafts
  ECHO_ANSWERS = [
    "Upgrade: WebSocket", "Connection: Upgrade",
    "WebSocket-Origin: http://example.com",
    "WebSocket-Location: ws://127.0.0.1:%<port>s%<target>s"
  ].freeze
  CHALLENGE_ANSWERS = [
    "Upgrade: WebSocket", "Connection: Upgrade",
    "Sec-WebSocket-Location: ws://127.0.0.1:%<port>s%<target>s",
    "Sec-WebSocket-Origin: http://example.com"
  ].freeze
  ACCEPT_ANSWERS = [
    "Upgrade: websocket", "Connection: Upgrade",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
  ].freeze

  # The keys, the eight bytes and the answer of draft-hixie-thewebsocketprotocol-76, section 1.2.
  KEYS = {
    "Sec-WebSocket-Key1" => "4 @1  46546xW%0l 1 5",
    "Sec-WebSocket-Key2" => "12998 5 Y3 1  .P00"
  }.freeze
  # The key of RFC 6455, section 1.3.
  KEY = { "Sec-WebSocket-Key" => "dGhlIHNhbXBsZSBub25jZQ==" }.freeze

  DRAFT_OPCODES = { continuation: 0, close: 1, ping: 2, pong: 3, text: 4, binary: 5 }.freeze
  RFC_OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 }.freeze

  def self.row(base = {}, **differences) = base.to_h.merge(differences)

  def self.versioned(number) = KEY.merge("Sec-WebSocket-Version" => number.to_s)

  V75 = row(
    number: 75, headers: {}, body: "", status: "HTTP/1.1 101 Web Socket Protocol Handshake",
    answers: ECHO_ANSWERS, trailer: "", framing: :sentinel, last_bit: 0, opcodes: {},
    masking: :never, limit_counts: :buffer, close: :tcp, reply: :terminate,
    strict: false
  )
  V76 = row(
    V75,
    number: 76, headers: KEYS, body: "^n:ds[4U",
    status: "HTTP/1.1 101 WebSocket Protocol Handshake",
    answers: CHALLENGE_ANSWERS, trailer: "8jKS'y:G*Co,Wxa-"
  )
  V1 = row(
    V76,
    number: 1, headers: KEYS.merge("Sec-WebSocket-Draft" => "1"), framing: :length,
    opcodes: DRAFT_OPCODES, limit_counts: :payload, close: :empty, reply: :body
  )
  V2 = row(V1, number: 2, headers: KEYS.merge("Sec-WebSocket-Draft" => "2"))
  V3 = row(V1, number: 3, headers: KEYS.merge("Sec-WebSocket-Draft" => "3"))
  V5 = row(
    V3,
    number: 5, headers: versioned(5), body: "", status: "HTTP/1.1 101 Switching Protocols",
    answers: ACCEPT_ANSWERS, trailer: "", last_bit: 1, masking: :leading, close: :s
  )
  V6 = row(V5, number: 6, headers: versioned(6), close: :code, reply: :code)
  V7 = row(
    V6,
    number: 7, headers: versioned(7), opcodes: RFC_OPCODES, masking: :flagged,
    limit_counts: :frame, strict: true
  )
  V8 = row(V7, number: 8, headers: versioned(8))
  V13 = row(V7, number: 13, headers: versioned(13))

  ALL = [V75, V76, V1, V2, V3, V5, V6, V7, V8, V13].map { |row| Draft.new(**row).freeze }.freeze

  def self.[](number) = ALL.find { |draft| draft.number == number }

  RFC = self[13]
end
