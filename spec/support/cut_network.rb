# frozen_string_literal: true

require "socket"

# Network between a client and a server: it passes bytes on until it is cut, which loses what is
# on the way. Later connections pass.
class CutNetwork
  def self.open(server_port)
    network = new(server_port)
    yield network
  ensure
    network&.close
  end

  def initialize(server_port)
    @server_port = server_port
    @listener = TCPServer.new("127.0.0.1", 0)
    @mutex = Mutex.new
    @pairs = {}
    @threads = [Thread.new { accept }]
  end

  def port = @listener.addr[1]

  # Resets every connection, on both sides.
  def cut
    @mutex.synchronize do
      @pairs.each_key { |pair| pair.each { |socket| reset(socket) } }
      @pairs.clear
    end
  end

  def close
    @listener.close
    cut
    @threads.each { |thread| thread.join(5) }
  end

  private

  def accept
    loop do
      client = @listener.accept
      pair = [client, TCPSocket.new("127.0.0.1", @server_port)]
      @mutex.synchronize { @pairs[pair] = true }
      [pair, pair.reverse].each { |ends| @threads << Thread.new { pass(*ends) } }
    end
  rescue IOError, SystemCallError
    nil # the listener is closed, or the server is gone
  end

  def pass(source, target)
    loop { target.write(source.readpartial(65_536)) }
  rescue IOError, SystemCallError
    finish(target)
  end

  def finish(socket)
    socket.close_write
  rescue IOError, SystemCallError
    nil # it is gone, too
  end

  def reset(socket)
    socket.setsockopt(:SOCKET, :LINGER, [1, 0].pack("ii"))
    socket.close
  rescue IOError, SystemCallError
    nil
  end
end
