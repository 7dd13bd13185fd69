# frozen_string_literal: true

require "io/wait"
require "openssl"
require "socket"
require_relative "../support/unverified_tls"

module Torture
  # A client of RFC 6455 that never waits in a write, for many at once and many messages. Its masks
  # are zeros, which leave payloads as they are.
  class Client
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA

    PATIENCE = 60
    PIECE = 256 * 1024
    LOST = [EOFError, Errno::ECONNRESET, Errno::EPIPE, OpenSSL::SSL::SSLError].freeze

    class Failed < StandardError; end

    # The bytes of a frame.
    def self.frame(opcode, payload)
      size = payload.bytesize
      head = case size
             when 0..125 then [0x80 | opcode, 0x80 | size].pack("CC")
             when 126..65_535 then [0x80 | opcode, 0x80 | 126, size].pack("CCn")
             else [0x80 | opcode, 0x80 | 127, size].pack("CCQ>")
             end
      head << "\0\0\0\0" << payload.b
    end

    def self.request(path = "/", **headers)
      lines = headers.map { |name, value| "#{name.to_s.tr("_", "-")}: #{value}\r\n" }.join
      "GET #{path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" \
        "#{lines}\r\n"
    end

    # One whose opening handshake is done.
    def self.open(port, path = "/", **options) = new(port, **options).open(path)

    # Moves the bytes of all until the block says that it is enough, at most for so long. Answers
    # whether it was. Each client's messages are in its `inbox`, or go to its `on_frame`.
    def self.pump(clients, seconds = PATIENCE)
      deadline = now + seconds
      sockets = clients.to_h { |client| [client.socket, client] }
      until yield
        live = clients.reject(&:ended?)
        return yield if now > deadline || live.empty?

        move(live, sockets)
      end
      true
    end

    # Waits, not for long, and moves what bytes there are.
    def self.move(live, sockets)
      writing = live.select(&:pending?).map(&:socket)
      readable, writable = IO.select(live.map(&:socket), writing, nil, 0.05)
      writable&.each { |socket| sockets[socket].flush }
      readable&.each { |socket| sockets[socket].receive }
    end
    private_class_method :move

    def self.now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    attr_reader :socket, :inbox, :response
    attr_accessor :on_frame

    # @param window [Integer, nil] the size of the socket's receive buffer
    def initialize(port, window: nil, tls: false)
      @socket = Socket.new(:INET, :STREAM)
      @socket.setsockopt(:SOCKET, :RCVBUF, window) if window
      @socket.setsockopt(:TCP, :NODELAY, 1)
      @socket.connect(Socket.sockaddr_in(port, "127.0.0.1"))
      @socket = UnverifiedTls.connect(@socket) if tls
      @out = String.new(encoding: Encoding::BINARY)
      @in = String.new(encoding: Encoding::BINARY)
      @inbox = []
    end

    def open(path = "/", **headers)
      @socket.write(Client.request(path, **headers))
      read_head
      raise Failed, "refused: #{@response.inspect}" unless @response&.start_with?("HTTP/1.1 101")

      self
    end

    # Queues a frame; `flush` writes as much as goes.
    def put(opcode, payload) = queue(Client.frame(opcode, payload))

    def queue(bytes)
      @out << bytes
      self
    end

    def text(payload)
      put(TEXT, payload)
      flush
    end

    def flush
      until @out.empty?
        written = @socket.write_nonblock(@out.bytesize > PIECE ? @out.byteslice(0, PIECE) : @out,
                                         exception: false)
        break unless written.is_a?(Integer)

        @out = @out.bytesize == written ? @out.clear : @out.byteslice(written..)
      end
      self
    rescue *LOST
      @ended = true
      self
    end

    # Writes all, however long that takes, and reads nothing.
    def flush_all
      nil while flush.pending? && !ended? && @socket.wait_writable(PATIENCE)
    end

    def pending? = !@out.empty?
    def ended? = @ended

    # Reads what is there, and takes the frames in it.
    def receive
      loop do
        piece = @socket.read_nonblock(PIECE, exception: false)
        return @ended = true if piece.nil?
        break if piece.is_a?(Symbol)

        @in << piece
        break if piece.bytesize < PIECE && @socket.is_a?(Socket)
      end
      take_frames
    rescue *LOST
      @ended = true
    end

    # The next frame, waited for: its opcode and payload; nil at the end.
    def next_frame(patience = PATIENCE)
      deadline = Client.now + patience
      while @inbox.empty?
        return if ended?
        return unless (left = deadline - Client.now).positive? && @socket.to_io.wait_readable(left)

        receive
      end
      @inbox.shift
    end

    # True if the server ends the connection within so long, which is read until then.
    def ends?(patience = PATIENCE)
      Client.pump([self], patience) { ended? }
    end

    def close = @socket.close

    # Ends it with a TCP reset.
    def reset
      @socket.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii"))
      @socket.close
    end

    # The head of the answer to the opening handshake, or nil.
    def read_head(patience = PATIENCE)
      deadline = Client.now + patience
      until (index = @in.index("\r\n\r\n"))
        left = deadline - Client.now
        return unless left.positive? && @socket.to_io.wait_readable(left)

        piece = @socket.read_nonblock(PIECE, exception: false)
        return @ended = true && nil if piece.nil?

        @in << piece unless piece.is_a?(Symbol)
      end
      @response = @in.slice!(0, index + 4)
      take_frames if @response.start_with?("HTTP/1.1 101")
      @response
    rescue *LOST
      @ended = true
      nil
    end

    private

    def take_frames
      start = 0
      while (head, size = header_at(start)) && @in.bytesize >= start + head + size
        take(@in.getbyte(start) & 0xF, @in.byteslice(start + head, size))
        start += head + size
      end
      @in = @in.byteslice(start..) if start.positive?
    end

    # Lengths of a frame's header and of its payload; nil where not all of the header has come.
    def header_at(start)
      left = @in.bytesize - start
      return if left < 2

      case size = @in.getbyte(start + 1)
      when 126 then [4, @in.unpack1("n", offset: start + 2)] if left >= 4
      when 127 then [10, @in.unpack1("Q>", offset: start + 2)] if left >= 10
      else [2, size]
      end
    end

    # Close frames and pings are answered (RFC 6455 sections 5.5.1 and 5.5.2).
    def take(opcode, payload)
      return put(PONG, payload).flush if opcode == PING

      put(CLOSE, payload.byteslice(0, 2)).flush if opcode == CLOSE
      on_frame ? on_frame.call(opcode, payload) : @inbox << [opcode, payload]
    end
  end
end
