# frozen_string_literal: true

require "socket"
require "timeout"

# An installed gem as a server that echoes one message.
module EchoProbe
  WITHIN = 20
  # The frame that comes back.
  ECHO = "\x81\x05hello".b.freeze

  # Program: what is first required counts, for Debian's em-websocket is on the load path as well.
  PROGRAM = <<~RUBY
    ARGV.each { |name, *| gem(*name.split(",")) }
    require "em-websocket"
    native = $LOADED_FEATURES.grep(/em_websocket_rs\\.so\\z/)
    abort "not from the gem: \#{native}" unless native.one? { |f| f.start_with?(ENV["GEM_HOME"]) }

    EM.run do
      server = EM::WebSocket.run(host: "127.0.0.1", port: 0) { |ws| ws.onmessage { |m| ws.send(m) } }
      puts Socket.unpack_sockaddr_in(EM.get_sockname(server)).first
      $stdout.flush
    end
  RUBY

  # @param ruby [Array<String>] the command for Ruby
  # @param activate [String] the gem to activate, with a requirement behind a comma
  # @param within [Numeric] seconds that it may take
  # @param options [Hash] further ones of `IO.popen`'s
  # @raise [RuntimeError] where the message does not come back
  def self.run(ruby, activate, env:, within: WITHIN, **options)
    IO.popen([env, *ruby, "-e", PROGRAM, activate, options]) do |server|
      answer = Timeout.timeout(within) { exchange(server.gets) }
      raise "#{activate}: #{answer.inspect} is no echo" unless answer == ECHO
    ensure
      Process.kill("KILL", server.pid)
    end
  end

  # Answer of a server on this port to a text message; nil where there is no port. A masking key
  # of zeros leaves the payload as it is.
  def self.exchange(port)
    return unless port

    Socket.tcp("127.0.0.1", Integer(port)) do |socket|
      socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n" \
                   "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
      nil until socket.gets == "\r\n"
      socket.write("\x81\x85\0\0\0\0hello".b)
      socket.read(7)
    end
  end
end
