# frozen_string_literal: true

# A process of a cluster, for its specs: it evaluates what it is told, a line each, on the reactor's
# thread, and answers in JSON. What `tell` is given, it says by itself.

require "em-websocket"
require "json"

$stdout.sync = true
@kept = {}

def tell(*words) = puts("! #{JSON.generate(words)}")

# The messages that a block hears of a channel, told.
def hear(channel)
  EM::WebSocket::Channel.new(channel).subscribe { |message| tell(channel, message) }
end

# The messages that a block hears of a channel, kept.
def keep(channel)
  EM::WebSocket::Channel.new(channel).subscribe { |message| (@kept[channel] ||= []) << message }
end

# Numbers of "who:number" that were kept of a channel, by who. "meet:number" may come late.
def numbers(channel)
  parts = (@kept[channel] || []).grep(/\A\d+:/).map { |text| text.split(":") }
  parts.group_by(&:first).transform_values { |some| some.map { |_, number| number.to_i } }
end

# Messages "who:number" of a channel: those that are missing, and those that come twice or late.
class Check
  attr_reader :last

  def initialize
    @last = Hash.new(0)
    @missing = 0
    @late = 0
  end

  def take(text)
    who, number = text.split(":")
    number = number.to_i
    return @late += 1 if number <= @last[who]

    @missing += number - @last[who] - 1
    @last[who] = number
  end

  def to_a = [@missing, @late]
end

# Checks the messages of a channel, and counts its gaps.
def check(channel)
  check = (@checks ||= {})[channel] = Check.new
  EM::WebSocket::Channel.new(channel).subscribe { |message| check.take(message) }
end

# Publishes "who:1", "who:2", ... to channels, 10 each 5 ms.
def count_up(who, count, *channels)
  number = 0
  timer = EM.add_periodic_timer(0.005) do
    10.times do
      number += 1
      channels.each { |channel| EM::WebSocket.publish(channel, "#{who}:#{number}") }
    end
    timer.cancel if number >= count
  end
  nil
end

# A server whose clients join a channel by the id that their query says; who comes and goes is told.
def serve_members
  EM::WebSocket.channels do
    onjoin("room") { |_, id, info| tell("join", id, info) }
    onupdate("room") { |_, id, info| tell("update", id, info) }
    onleave("room") { |_, id| tell("leave", id) }
  end
  server = EM::WebSocket.run(host: "127.0.0.1", port: 0) do |ws|
    ws.onopen do |handshake|
      id, name = handshake.query.values_at("id", "name")
      ws.join("room", id: id, info: { name: name }, grace: 0.2)
      ws.send("joined")
    end
    ws.onmessage { ws.leave("room") }
  end
  Socket.unpack_sockaddr_in(EM.get_sockname(server)).first
end

# A server whose clients are subscribed to the channel that their path names, behind `since`.
def serve(**options)
  server = EM::WebSocket.run({ host: "127.0.0.1", port: 0 }.merge(options)) do |ws|
    ws.onopen do |handshake|
      ws.subscribe(handshake.path[1..], since: handshake.query["since"]) do |recovered|
        ws.send("recovered: #{recovered}")
      end
      ws.ongap { |channel| tell("ongap", channel) } if handshake.query["ongap"]
      tell("open", handshake.path)
    end
    ws.onclose { |event| tell("close", event[:code]) }
  end
  Socket.unpack_sockaddr_in(EM.get_sockname(server)).first
end

# Commands, a line each.
class Commands < EM::Connection
  include EM::Protocols::LineText2

  def receive_line(line)
    puts "= #{JSON.generate([eval(line, TOPLEVEL_BINDING)])}" # rubocop:disable Security/Eval
  rescue Exception => e # rubocop:disable Lint/RescueException
    puts "= #{JSON.generate(["#{e.class}: #{e.message}"])}"
  end

  def unbind = EM.stop
end

EM::WebSocket.on_pubsub { |state, error| tell(state, error&.message) }
EM::WebSocket.channels { history "kept:*", size: 100_000 }
# Connections are told of gaps; here, blocks are to be.
@gaps = 0
EM::WebSocket.const_get(:Gaps).singleton_class.prepend(Module.new do
  def calls(names)
    TOPLEVEL_BINDING.eval("@gaps += 1") if names.include?("n")
    super
  end
end)
EM.run do
  EM.attach(IO.for_fd(Integer(ARGV.fetch(0))), Commands)
  puts "= [\"ready\"]"
end
