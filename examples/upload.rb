# frozen_string_literal: true

# Takes uploads over WebSocket, with a bar in the page that shows what has been written here, and
# back-pressure all the way: a disk that is slow slows the browser down, and neither side keeps more
# than some pieces in memory.
#
#   ruby -Ilib examples/upload.rb [port] [directory]   (8080, "."; port 0: any free port)
#
# browser  {"name": "a.png", "size": 70000}, then binary messages of 64 KiB
# server   {"written": 65536}, {"written": 70000, "name": "a.png", "sha256": "..."}

require "em-websocket"
require "digest"
require "json"

$stdout.sync = true

# One file on its way to the disk. The writing is done in a thread, so that nobody else waits.
class Upload
  LARGEST = 1 << 30 # bytes
  MOST_WAITING = 16 # pieces that have been read and not been written

  def initialize(connection, directory, name, size)
    @connection = connection
    @size = size
    @pieces = Thread::Queue.new
    @waiting = @come = 0
    # A name that stays in the directory, and is not there yet.
    name = File.basename(name).gsub(/[^\w.-]/, "_").delete_prefix(".")
    raise ArgumentError, "no such name or size" if name.empty? || !size.between?(0, LARGEST)

    @file = File.open(File.join(directory, name), "wbx")
    Thread.new { write }
  end

  # Reads no faster than this: what does not come in time waits in the network, and then in the
  # browser.
  def add(bytes)
    raise ArgumentError, "more than announced" if (@come += bytes.bytesize) > @size

    @pieces << bytes
    @connection.pause if (@waiting += 1) >= MOST_WAITING
  end

  # The browser is gone: what is not whole is not kept.
  def abandon = @pieces.close

  private

  def write
    digest = Digest::SHA256.new
    written = 0
    tell(written: 0, name: name, sha256: digest.hexdigest) if @size.zero?
    while written < @size && (bytes = @pieces.pop)
      @file.write(bytes)
      digest << bytes
      written += bytes.bytesize
      tell(written: written) { taken } if written < @size
    end
    @file.close
    return File.delete(@file.path) if written < @size

    tell(written: written, name: name, sha256: digest.hexdigest) { taken } unless @size.zero?
  end

  def name = File.basename(@file.path)

  # On the reactor's thread, where the connection is not ending at the same time.
  def tell(news)
    EM.schedule do
      @connection.send(JSON.generate(news)) if @connection.state == :connected
      yield if block_given?
    end
  end

  def taken
    @waiting -= 1
    @connection.resume if @connection.paused? && @waiting <= MOST_WAITING / 2
  end
end

# A browser: its page over plain HTTP, its files over WebSocket, one after the other.
class Browser < EM::WebSocket::Connection
  HEAD_LIMIT = 16 * 1024

  def initialize(options)
    super
    self.max_frame_size = 1 << 20
    onmessage { |text| start(JSON.parse(text)) }
    onbinary { |bytes| @upload ? @upload.add(bytes) : raise(ArgumentError, "no name") }
    onclose { @upload&.abandon }
    onerror { |error| puts "refused: #{error.message}" }
  end

  # The bytes of a connection until its WebSocket is open, however they are cut.
  def dispatch(data)
    return super if @upgrades

    @head = "#{@head}#{data}".b
    return close_connection if @head.bytesize > HEAD_LIMIT
    return unless @head.include?("\r\n\r\n")
    return answer unless @head.match?(/^upgrade:[ \t]*websocket[ \t]*\r$/i)

    @upgrades = true
    super(@head)
  end

  private

  def start(file)
    @upload = Upload.new(self, @options[:directory], file.fetch("name"), file.fetch("size"))
  rescue Errno::EEXIST
    close(4409, "there is such a file")
  end

  def answer
    page = @options[:page]
    send_data("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n" \
              "Content-Length: #{page.bytesize}\r\nConnection: close\r\n\r\n#{page}")
    close_connection_after_writing
  end
end

EM.run do
  %w[INT TERM].each { |signal| trap(signal) { EM.stop } }

  options = { directory: ARGV[1] || ".", page: File.read(File.join(__dir__, "upload.html")) }
  server = EM.start_server("127.0.0.1", ARGV[0] || ENV["PORT"] || 8080, Browser, options)

  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  puts "Open http://127.0.0.1:#{port}/ and choose a file."
end
