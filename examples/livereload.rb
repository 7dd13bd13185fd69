# frozen_string_literal: true

# Reloads pages in the browser when the files of a directory change: a LiveReload server, as a
# subclass of EM::WebSocket::Connection that answers plain HTTP beside WebSocket.
#
#   ruby -Ilib examples/livereload.rb [port] [directory]      (35729, "."; port 0: any free port)
#
# Put this into the page, or use a browser extension for LiveReload:
#
#   <script src="http://127.0.0.1:35729/livereload.js"></script>

require "em-websocket"
require "json"

$stdout.sync = true

# Knows which files of a directory have changed since it was asked last.
class Watch
  def initialize(directory)
    @directory = directory
    @times = times
  end

  def changes
    former = @times
    @times = times
    (@times.to_a - former.to_a).map(&:first) | (former.keys - @times.keys)
  end

  private

  def times
    Dir.glob("**/*", base: @directory).each_with_object({}) do |path, times|
      stat = File.stat(File.join(@directory, path))
      times[path] = stat.mtime if stat.file?
    rescue Errno::ENOENT
      nil # gone since it was listed
    end
  end
end

# One browser: LiveReload's protocol 7, and the script that speaks it.
class LiveReload < EM::WebSocket::Connection
  HELLO = {
    command: "hello", protocols: ["http://livereload.com/protocols/official-7"],
    serverName: "em-websocket-rs"
  }.freeze
  HEAD_LIMIT = 16 * 1024

  # The least that a page needs. npm's livereload-js also replaces images, and more.
  SCRIPT = <<~JAVASCRIPT.freeze
    "use strict";
    {
      const url = new URL("livereload", document.currentScript.src);
      url.protocol = url.protocol.replace("http", "ws");
      const connect = () => {
        const ws = new WebSocket(url);
        ws.onopen = () => ws.send(JSON.stringify(#{JSON.generate(HELLO.except(:serverName))}));
        ws.onmessage = ({ data }) => {
          const { command, path, liveCSS } = JSON.parse(data);
          if (command !== "reload") return;
          const sheets = [...document.querySelectorAll("link[rel=stylesheet]")];
          if (!liveCSS || !path.endsWith(".css") || !sheets.length) return location.reload();
          for (const sheet of sheets) {
            const href = new URL(sheet.href);
            href.searchParams.set("livereload", Date.now());
            sheet.href = href;
          }
        };
        ws.onclose = () => setTimeout(connect, 1000);
      };
      connect();
    }
  JAVASCRIPT

  class << self
    def browsers = @browsers ||= []

    def changed(path)
      text = JSON.generate(command: "reload", path: path, liveCSS: true)
      EM::WebSocket.broadcast(browsers, text)
    end
  end

  def initialize(options)
    super
    onmessage { |text| heed(JSON.parse(text)) }
    onclose { self.class.browsers.delete(self) }
    onerror { |error| close(4400, error.message[0, 100]) }
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

  def heed(message)
    return unless message["command"] == "hello"

    send(JSON.generate(HELLO))
    self.class.browsers << self
    puts "a page is open"
  end

  def answer
    found = @head.match?(%r{\AGET /livereload\.js[ ?]})
    status, body = found ? ["200 OK", SCRIPT] : ["404 Not Found", "Only /livereload.js is here.\n"]
    send_data("HTTP/1.1 #{status}\r\nContent-Type: text/#{found ? "javascript" : "plain"}\r\n" \
              "Content-Length: #{body.bytesize}\r\nConnection: close\r\n\r\n#{body}")
    close_connection_after_writing
  end
end

EM.run do
  %w[INT TERM].each { |signal| trap(signal) { EM.stop } }

  port = ARGV[0] || ENV["PORT"] || 35_729
  server = EM.start_server("127.0.0.1", port, LiveReload, {})

  watch = Watch.new(ARGV[1] || ".")
  EM.add_periodic_timer(0.3) do
    watch.changes.each do |path|
      puts "changed: #{path}"
      LiveReload.changed(path)
    end
  end

  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  puts "Put this into the page: <script src=\"http://127.0.0.1:#{port}/livereload.js\"></script>"
end
