# frozen_string_literal: true

# A chat on one port: its page over plain HTTP, its messages over WebSocket.
#
#   ruby -Ilib examples/chat.rb [port]      (8080 by default; 0: any free port)
#
# GET /         the page
# WS  /chat     the chat: one JSON object a message
# WS  /echo     sends back what it is sent
# WS  /close    is closed by the server at once: /close?code=4001

require "em-websocket"
require "json"

$stdout.sync = true

# Who is here and what was said lately. Knows nothing of HTTP or WebSocket but `send`.
class Room
  HISTORY = 50
  LONGEST_NAME = 32
  LONGEST_TEXT = 4_000

  def initialize
    @people = {} # connection => its person
    @history = []
    @guests = 0
  end

  def enter(connection, wish = nil)
    return rename(connection, wish) if @people.key?(connection)

    id = (@guests += 1)
    person = { id: id, name: free_name(wish) || free_name("Guest #{id}") }
    @people[connection] = person
    tell(connection, type: "welcome", you: person, history: @history)
    announce("#{person[:name]} is here")
  end

  def leave(connection)
    person = @people.delete(connection)
    announce("#{person[:name]} has left") if person
  end

  def rename(connection, wish)
    person = @people.fetch(connection)
    former = person[:name]
    # Its own name is free to whoever bears it.
    person[:name] = ""
    person[:name] = free_name(wish) || former
    tell(connection, type: "you", you: person)
    announce("#{former} is now #{person[:name]}") unless person[:name] == former
  end

  def say(connection, text)
    text = text.to_s[0, LONGEST_TEXT]
    return if text.strip.empty?

    line = { type: "message", from: @people.fetch(connection).dup, text: text, at: Time.now.to_i }
    @history = [*@history, line].last(HISTORY)
    tell_everyone(line)
  end

  def ping
    @people.each_key { |connection| connection.ping if connection.state == :connected }
  end

  private

  def announce(text)
    tell_everyone(type: "people", people: @people.values, text: text)
  end

  def tell_everyone(news)
    text = JSON.generate(news)
    @people.each_key { |connection| connection.send(text) if connection.state == :connected }
  end

  def tell(connection, news)
    connection.send(JSON.generate(news))
  end

  # The wish, with a number behind it where somebody else bears the name already.
  def free_name(wish)
    wish = wish.to_s.gsub(/[[:cntrl:]]/, "").strip[0, LONGEST_NAME]
    return if wish.empty?

    taken = @people.values.map { |person| person[:name] }
    [wish, *(2..taken.size + 2).map { |n| "#{wish} (#{n})" }].find { |name| !taken.include?(name) }
  end
end

# What each path does once its WebSocket is open.
module Paths
  CHAT_FRAME_LIMIT = 64 * 1024

  module_function

  def open(ws, handshake, room)
    case handshake.path
    when "/chat" then chat(ws, room)
    when "/echo" then echo(ws)
    when "/close" then close(ws, handshake.query["code"])
    else ws.close(4404, "no such path")
    end
  end

  def chat(ws, room)
    ws.max_frame_size = CHAT_FRAME_LIMIT
    ws.onclose { room.leave(ws) }
    ws.onmessage { |text| heed(ws, text, room) }
  end

  def echo(ws)
    ws.onmessage { |text| ws.send(text) }
    ws.onbinary { |bytes| ws.send_binary(bytes) }
  end

  def close(ws, code, reason = "as you asked")
    code = code.to_i
    allowed = code == 1000 || code.between?(3000, 4999)
    allowed ? ws.close(code, reason) : ws.close(4400, "a server may say 1000 or 3000 to 4999")
  end

  def heed(ws, text, room)
    wish = JSON.parse(text)
    return ws.close(4400, "not an object") unless wish.is_a?(Hash)

    case wish["type"]
    when "enter" then room.enter(ws, wish["name"])
    when "say" then room.say(ws, wish["text"])
    when "close" then close(ws, wish["code"])
    else ws.close(4400, "no such type")
    end
  rescue JSON::ParserError
    ws.close(4400, "not JSON")
  rescue KeyError
    ws.close(4400, "say who you are first")
  end
end

# A WebSocket connection that also answers plain HTTP requests. `dispatch` is handed the first
# bytes of a connection, however they are cut, until a WebSocket has been opened.
class ChatConnection < EM::WebSocket::Connection
  HEAD_LIMIT = 16 * 1024
  PATIENCE = 20 # seconds for a request to arrive in full

  PAGE_HEADERS = {
    "Content-Type" => "text/html; charset=utf-8",
    "Content-Security-Policy" =>
      "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; " \
      "img-src data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; " \
      "frame-ancestors 'none'",
    "X-Content-Type-Options" => "nosniff",
    "Cache-Control" => "no-cache"
  }.freeze

  def post_init
    super
    self.comm_inactivity_timeout = PATIENCE
    @head = "".b
  end

  def dispatch(data)
    return super if @websocket
    return if @answered

    @head << data
    return answer(400, "This is not HTTP.") unless @head.match?(/\A\s*[A-Z]/)
    return answer(431, "Too long a request.") if head_size > HEAD_LIMIT
    return unless @head.include?("\r\n\r\n")
    return answer_request unless @head.match?(/^upgrade:[ \t]*websocket[ \t]*\r$/i)

    @websocket = true
    self.comm_inactivity_timeout = 0
    super(@head)
  end

  private

  def head_size = @head.index("\r\n\r\n") || @head.bytesize

  def answer_request
    verb, target, = @head.lstrip.split(/[ \r\n]+/, 3)
    case [verb, target.to_s[/\A[^?#]*/]]
    when %w[GET /], %w[HEAD /] then answer(200, @options[:page], PAGE_HEADERS)
    when [verb, "/"] then answer(405, "Only GET and HEAD.", "Allow" => "GET, HEAD")
    else answer(404, "Nothing here. The chat is at /.")
    end
  end

  REASONS = {
    200 => "OK", 400 => "Bad Request", 404 => "Not Found", 405 => "Method Not Allowed",
    431 => "Request Header Fields Too Large"
  }.freeze
  private_constant :REASONS

  def answer(status, body, headers = {})
    @answered = true
    lines = { "Content-Type" => "text/plain; charset=utf-8", "Content-Length" => body.bytesize,
              "Connection" => "close" }.merge(headers)
    lines = lines.map { |name, value| "#{name}: #{value}\r\n" }
    body = "" if @head.start_with?("HEAD ")
    send_data("HTTP/1.1 #{status} #{REASONS.fetch(status)}\r\n#{lines.join}\r\n#{body}")
    close_connection_after_writing
  end
end

if $PROGRAM_NAME == __FILE__
  host = ENV.fetch("HOST", "0.0.0.0")
  port = ARGV[0] || ENV["PORT"] || 8080
  page = File.binread(File.join(__dir__, "chat.html"))
  room = Room.new

  EM.epoll
  EM.run do
    %w[INT TERM].each { |signal| trap(signal) { EM.stop } }

    server = EM.start_server(host, port, ChatConnection, page: page) do |ws|
      ws.onopen { |handshake| Paths.open(ws, handshake, room) }
    end
    # Keeps what stands between, a proxy or a phone's network, from dropping a silent connection.
    EM.add_periodic_timer(20) { room.ping }

    port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
    puts "Open http://localhost:#{port}/ in two windows and chat. Ctrl-C ends it."
  rescue RuntimeError => e
    abort "Cannot listen on #{host}:#{port}: #{e.message}. Another port? bin/demo 8081"
  end
end
