# frozen_string_literal: true

require "rbconfig"

# Programs in processes of their own: what they do to the process would be done to the suite.
module Apart
  LIBRARY = File.expand_path("../../lib", __dir__)

  # Ruby for a client that is open when it returns.
  CLIENT = <<~'RUBY'
    require "socket"

    def client(port)
      socket = TCPSocket.new("127.0.0.1", port)
      socket.write("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
      head = +""
      head << socket.readpartial(1) until head.end_with?("\r\n\r\n")
      socket
    end

    # A masked frame, whose mask is all zeros.
    def frame(opcode, payload)
      length = payload.bytesize < 126 ? [0x80 | payload.bytesize].pack("C") : [0xFF, payload.bytesize].pack("CQ>")
      [0x80 | opcode].pack("C") + length + "\0\0\0\0".b + payload.b
    end
  RUBY

  TIMEOUT = 15

  # The output of a program, on either stream, to its end.
  def run_apart(program)
    library = UPSTREAM ? [] : ["-I", LIBRARY]
    command = [RbConfig.ruby, *library, "-r", "em-websocket", "-e", program]
    IO.popen([*command, { err: %i[child out], pgroup: true }]) do |output|
      said = +""
      deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + TIMEOUT
      loop do
        left = deadline - Process.clock_gettime(Process::CLOCK_MONOTONIC)
        break said << "(it does not end)" unless left.positive? && output.wait_readable(left)

        said << output.readpartial(65_536)
      rescue EOFError
        break
      end
      said
    ensure
      begin
        Process.kill(:KILL, -output.pid)
      rescue Errno::ESRCH
        nil
      end
    end
  end
end

RSpec.configure { |config| config.include(Apart) }
