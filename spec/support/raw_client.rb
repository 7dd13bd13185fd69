# frozen_string_literal: true

require "io/wait"
require "socket"
require_relative "unverified_tls"

# A WebSocket client over a plain blocking socket, for any row of the drafts' table. It does what
# it is told, right or wrong, and waits for nothing longer than TIMEOUT.
class RawClient
  Frame = Struct.new(:type, :payload, :last, :reserved, keyword_init: true)

  TIMEOUT = 8
  MASKING_KEY = "\x37\xFA\x21\x3D".b.freeze

  class TimedOut < StandardError; end

  attr_reader :draft, :socket, :response

  # A client whose opening handshake is done.
  def self.open(port, draft = Drafts::RFC, tls: false, **request)
    new(port, draft, tls: tls).tap { |client| client.open(**request) }
  end

  # It comes from another address of this machine's, if one is given; to a Unix socket at a path.
  def initialize(port, draft = Drafts::RFC, host: "127.0.0.1", tls: false, from: nil, path: nil)
    @draft = draft
    @port = port
    @buffer = String.new(encoding: Encoding::BINARY)
    @socket = path ? Socket.unix(path) : Socket.tcp(host, port, from, connect_timeout: TIMEOUT)
    @socket.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1) unless path
    start_tls if tls
  end

  # The bytes of an opening handshake; a header set to nil is left out.
  def request(target: "/", headers: {}, body: draft.body, verb: "GET", http: "HTTP/1.1")
    fields = {
      "Host" => "127.0.0.1:#{@port}", "Upgrade" => "WebSocket", "Connection" => "Upgrade",
      "Origin" => "http://example.com"
    }.merge(draft.headers).merge(headers)
    lines = fields.flat_map { |name, value| Array(value).map { |one| "#{name}: #{one}" } }
    ["#{verb} #{target} #{http}", *lines, "", ""].join("\r\n").b + body.b
  end

  def open(with: "", **request)
    write(request(**request) + with.b)
    read_response(draft.trailer.bytesize)
  end

  # Status line, header lines and the bytes of `trailer`; nil where the server just hung up.
  def read_response(trailer = 0)
    fill until @buffer.include?("\r\n\r\n") || @eof
    return @response = nil unless @buffer.include?("\r\n\r\n")

    head = take(@buffer.index("\r\n\r\n") + 4)
    status, *lines = head.split("\r\n")
    @response = { status: status, lines: lines, trailer: read_exactly(trailer) }
  end

  # Writes all of it, or, where the server has hung up already, nothing: the reader will see.
  def write(bytes, cut: [bytes.bytesize, 1].max)
    0.step(bytes.bytesize - 1, cut) { |start| @socket.write(bytes.byteslice(start, cut)) }
  rescue Errno::EPIPE, Errno::ECONNRESET, OpenSSL::SSL::SSLError
    nil
  end

  def text(payload, **options) = write(encode(:text, payload, **options))
  def binary(payload, **options) = write(encode(:binary, payload, **options))
  def ping(payload = "") = write(encode(:ping, payload))
  def pong(payload = "") = write(encode(:pong, payload))
  def close(code = nil, reason = "") = write(encode_close(code, reason))

  def fragments(type, parts) = write(encode_fragments(type, parts))

  # Message as frames; all but the first are continuations.
  def encode_fragments(type, parts)
    parts.each_with_index.map do |part, index|
      encode(index.zero? ? type : :continuation, part, last: index == parts.size - 1)
    end.join
  end

  def encode_close(code = nil, reason = "")
    return "\xFF\x00".b if draft.framing == :sentinel

    encode(:close, code ? [code].pack("n") + reason.b : "")
  end

  def encode(type, payload, last: true, masked: true, reserved: 0, opcode: nil)
    payload = payload.b
    return "\x00".b + payload + "\xFF".b if draft.framing == :sentinel

    first = (last ? draft.last_bit : draft.last_bit ^ 1) << 7
    first |= reserved | (opcode || draft.opcodes.fetch(type))
    wrap(first, payload, masked)
  end

  # A frame's header alone, which says that this many bytes follow.
  def header(type, length, masked: false)
    first = (draft.last_bit << 7) | draft.opcodes.fetch(type)
    head = [first].pack("C") + length_bytes(length, masked)
    draft.masking == :leading ? MASKING_KEY + mask(head) : head
  end

  # The next frame, or :eof where the server has ended the connection.
  def read_frame
    return :eof if eof_now?

    draft.framing == :sentinel ? read_sentinel : read_length_framed
  end

  # The payload of the next frame, which must be of this type.
  def read(type)
    frame = read_frame
    raise "expected #{type}, got #{frame.inspect}" unless frame.respond_to?(:type) &&
                                                          frame.type == type

    frame.payload
  end

  # Text and close look alike to the reader whatever the framing.
  def read_text = read(:text).force_encoding(Encoding::UTF_8)

  # Everything until the server ends the connection.
  def read_to_end
    fill until @eof
    take(@buffer.bytesize)
  end

  def eof? = read_frame == :eof

  # True where nothing arrives for this long.
  def silent?(seconds = 0.1) = @buffer.empty? && !@socket.wait_readable(seconds)

  # Ends the connection as a cable pulled out would at best: no close frame.
  def disconnect = @socket.closed? || @socket.close

  # The same with a TCP reset.
  def reset
    @socket.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii"))
    @socket.close
  end

  def local_port = @socket.to_io.local_address.ip_port

  private

  def start_tls = @socket = UnverifiedTls.connect(@socket)

  def wrap(first, payload, masked)
    masked &&= draft.masking == :flagged
    head = [first].pack("C") + length_bytes(payload.bytesize, masked)
    return MASKING_KEY + mask(head + payload) if draft.masking == :leading

    masked ? head + MASKING_KEY + mask(payload) : head + payload
  end

  def length_bytes(length, masked)
    flag = masked ? 0x80 : 0
    case length
    when 0..125 then [flag | length].pack("C")
    when 126..65_535 then [flag | 126, length].pack("Cn")
    else [flag | 127, length].pack("CQ>")
    end
  end

  # The mask as one big XOR: a byte at a time is too slow for a MiB in Ruby.
  def mask(bytes)
    return bytes if bytes.empty?

    key = (MASKING_KEY * ((bytes.bytesize / 4) + 1)).byteslice(0, bytes.bytesize)
    size = bytes.bytesize * 2
    [(bytes.unpack1("H*").hex ^ key.unpack1("H*").hex).to_s(16).rjust(size, "0")].pack("H*")
  end

  def read_sentinel
    first = read_exactly(1)
    return Frame.new(type: :close, payload: read_exactly(1), last: true) if first == "\xFF".b

    fill until @buffer.include?("\xFF".b) || @eof
    payload = take(@buffer.index("\xFF".b) + 1).chop
    Frame.new(type: :text, payload: payload, last: true)
  end

  def read_length_framed
    first, second = read_exactly(2).unpack("CC")
    length = case second & 0x7F
             when 126 then read_exactly(2).unpack1("n")
             when 127 then read_exactly(8).unpack1("Q>")
             else second & 0x7F
             end
    raise "the server masked a frame" if second & 0x80 != 0

    type = draft.opcodes.key(first & 0x0F) || raise("unknown opcode in #{first.to_s(16)}")
    Frame.new(type: type, payload: read_exactly(length), last: first >> 7 == draft.last_bit,
              reserved: first & 0x70)
  end

  def eof_now?
    fill while @buffer.empty? && !@eof
    @buffer.empty?
  end

  def read_exactly(count)
    fill while @buffer.bytesize < count && !@eof
    raise EOFError, "the connection ended within a frame" if @buffer.bytesize < count

    take(count)
  end

  def take(count) = @buffer.slice!(0, count)

  def fill
    piece = @socket.read_nonblock(262_144, exception: false)
    case piece
    when nil then @eof = true
    when :wait_readable
      @socket.to_io.wait_readable(TIMEOUT) || raise(TimedOut, "nothing came for #{TIMEOUT} s")
    when :wait_writable then @socket.to_io.wait_writable(TIMEOUT)
    else @buffer << piece
    end
  rescue Errno::ECONNRESET, Errno::EPIPE, OpenSSL::SSL::SSLError
    @eof = true
  end
end
