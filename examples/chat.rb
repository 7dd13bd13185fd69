# frozen_string_literal: true

# A chat on one port: its page over plain HTTP, its messages over WebSocket, and how the server is
# doing.
#
#   ruby -Ilib examples/chat.rb [port]      (8080 by default; 0: any free port)
#
# GET /         the page
# GET /-/       what the server does, as plots that move; for this machine alone
# WS  /chat     the chat: one JSON object a message
# WS  /echo     sends back what it is sent
# WS  /close    is closed by the server at once: /close?code=4001

require "em-websocket"
require "json"
require "set"

$stdout.sync = true

# People who are here, and two channels: what is said, of which the last is kept, and everything
# else.
class Room
  SAID = "room:said"
  NEWS = "room:news"
  KEPT = { size: 50, ttl: 24 * 60 * 60,
           envelope: '{"type":"message","position":"%{position}","line":%{raw}}' }.freeze
  LONGEST_NAME = 32
  LONGEST_TEXT = 4_000
  GRACE = 3 # seconds in which a page that is loaded again has not left

  def initialize
    @ids = {} # connection => its person's
    @known = {} # what only a page knows => the id of its person
    @guests = 0
    came = ->(_, _, person) { announce("#{person[:name]} is here") }
    left = ->(_, id, person) { gone(id, person) }
    EM::WebSocket.channels do
      history(SAID, **KEPT)
      onjoin(NEWS, &came)
      onleave(NEWS, &left)
    end
  end

  # Somebody comes or, with the position that he has come to, comes back; by the same key it is the
  # same one.
  def enter(connection, wish = nil, since = nil, key = nil)
    return rename(connection, wish) if @ids.key?(connection)

    id = id_of(key)
    person = here[id] || { id: id, name: free_name(wish) || free_name("Guest #{id}") }
    @ids[connection] = id
    tell(connection, type: "welcome", you: person, **subscribe(connection, since))
    is_new = connection.join(NEWS, id: id, info: person, grace: grace_of(id))
    tell(connection, people("#{person[:name]} is back")) unless is_new
  end

  # Its connection has ended.
  def forget(connection) = @ids.delete(connection)

  # Its person goes, and does not come back soon.
  def leave(connection)
    connection.unsubscribe
    connection.leave(NEWS)
    forget(connection)
  end

  def rename(connection, wish)
    id = @ids.fetch(connection)
    former = here[id][:name]
    person = { id: id, name: free_name(wish, former) || former }
    connection.join(NEWS, id: id, info: person, grace: grace_of(id))
    tell(connection, type: "you", you: person)
    announce("#{former} is now #{person[:name]}") unless person[:name] == former
  end

  def say(connection, text)
    text = text.to_s[0, LONGEST_TEXT]
    return if text.strip.empty?

    line = { from: here[@ids.fetch(connection)], text: text, at: Time.now.to_i }
    EM::WebSocket.publish(SAID, JSON.generate(line))
  end

  # Answers to how many it goes.
  def tell_everyone(news)
    EM::WebSocket.publish(NEWS, JSON.generate(news)).receivers
  end

  private

  # Subscribes: whoever comes back is sent what was said meanwhile, and goes on; everybody else gets
  # the last of what was said.
  def subscribe(connection, since)
    connection.subscribe(NEWS)
    recovered = false
    position = connection.subscribe(SAID, since: since) { |whether| recovered = whether }
    return { position: position } if recovered

    { position: position, history: EM::WebSocket.history(SAID).map { |_, line| JSON.parse(line) } }
  end

  # The people by their ids.
  def here = EM::WebSocket.presence(NEWS)

  def id_of(key)
    return @guests += 1 unless key

    @known[key] ||= (@guests += 1)
  end

  def grace_of(id) = @known.value?(id) ? GRACE : 0

  def gone(id, person)
    @known.delete_if { |_, known| known == id }
    announce("#{person[:name]} has left")
  end

  def people(text) = { type: "people", people: here.values, text: text }

  def announce(text) = tell_everyone(people(text))

  def tell(connection, news)
    connection.send(JSON.generate(news))
  end

  # The wish, with a number behind it where somebody else bears the name already. Its own name is
  # free to whoever bears it.
  def free_name(wish, own = nil)
    wish = wish.to_s.gsub(/[[:cntrl:]]/, "").strip[0, LONGEST_NAME]
    return if wish.empty?

    taken = here.values.map { |person| person[:name] } - [own]
    [wish, *(2..taken.size + 2).map { |n| "#{wish} (#{n})" }].find { |name| !taken.include?(name) }
  end
end

# Paths, and what each does once its WebSocket is open.
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
    when "enter" then room.enter(ws, wish["name"], wish["since"], wish["key"]&.to_s&.slice(0, 64))
    when "leave" then room.leave(ws)
    when "say" then room.say(ws, wish["text"])
    when "close" then close(ws, wish["code"])
    else ws.close(4400, "no such type")
    end
  rescue JSON::ParserError
    ws.close(4400, "not JSON")
  rescue ArgumentError
    ws.close(4400, "no position")
  rescue KeyError
    ws.close(4400, "say who you are first")
  end
end

# The figures of a server, for a page that shows them.
class Figures
  # @param websockets [Set] of the server; a browser has other connections, too
  def initialize(server, websockets)
    @server = server
    @websockets = websockets
    @own = @messages = 0
    @at = now
  end

  # Those of now, and of the time since they were asked for last.
  def read
    stats = EM::WebSocket.stats(@server)
    messages = stats[:messages_received] + stats[:messages_sent] - @own
    seconds = now - @at
    rate = (messages - @messages) / seconds
    @messages = messages
    @at += seconds
    { type: "figures", connections: @websockets.size, rate: rate.round, messages: messages,
      waiting: stats[:bytes_waiting] + stats[:bytes_outbound] }
  end

  # Those that tell of the figures are not the chat's.
  def leave_out(messages)
    @own += messages
  end

  private

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

# The page, for a browser that lets it load nothing else.
class Page
  HEADERS = {
    "Content-Type" => "text/html; charset=utf-8",
    "Content-Security-Policy" =>
      "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; " \
      "img-src data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; " \
      "frame-ancestors 'none'",
    "X-Content-Type-Options" => "nosniff",
    "Cache-Control" => "no-cache"
  }.freeze

  def initialize(path)
    @text = File.binread(path)
  end

  def call(request)
    return [200, HEADERS, @text] if %w[GET HEAD].include?(request.request_method)

    [405, { "Allow" => "GET, HEAD" }, "Only GET and HEAD."]
  end
end

if $PROGRAM_NAME == __FILE__
  host = ENV.fetch("HOST", "0.0.0.0")
  port = ARGV[0] || ENV["PORT"] || 8080
  page = Page.new(File.join(__dir__, "chat.html"))
  room = Room.new
  websockets = Set.new.compare_by_identity

  EM.epoll
  EM.run do
    %w[INT TERM].each { |signal| trap(signal) { EM.stop } }

    # Pings keep what stands between, a proxy or a phone's network, from dropping a silent client.
    server = EM::WebSocket.run(host: host, port: port, ping_interval: 20,
                               http: { "/" => page, "/-/" => :live }) do |ws|
      ws.onopen do |handshake|
        websockets << ws
        Paths.open(ws, handshake, room)
      end
      ws.onclose do
        websockets.delete(ws)
        room.forget(ws)
      end
    end
    figures = Figures.new(server, websockets)
    EM.add_periodic_timer(1) { figures.leave_out(room.tell_everyone(figures.read)) }

    port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
    puts "Open http://localhost:#{port}/ in two windows and chat. Ctrl-C ends it."
    puts "What the server does: http://localhost:#{port}/-/ (for this machine alone)"
  rescue RuntimeError => e
    abort "Cannot listen on #{host}:#{port}: #{e.message}. Another port? bin/demo 8081"
  end
end
