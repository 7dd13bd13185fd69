# frozen_string_literal: true

# Passes what comes from RabbitMQ on to every client, and what a client says to RabbitMQ: several of
# these processes, and whatever else publishes to the exchange, reach all clients of all.
#
#   ruby -Ilib examples/amqp.rb [port]      (8080 by default; 0: any free port)
#
# Needs the gem bunny (Debian: ruby-bunny) and a RabbitMQ at AMQP_URL, by default
# amqp://guest:guest@127.0.0.1:5672. Elsewhere one publishes with
#
#   rabbitmqadmin publish exchange=websocket routing_key= payload=hello

require "bunny"
require "em-websocket"

$stdout.sync = true

# The exchange, to which everybody publishes, and a queue of this process's own. Bunny has threads
# of its own, and connects again where RabbitMQ was away.
class News
  def initialize(url)
    @session = Bunny.new(url).start
    # A channel belongs to one thread: one to publish with, one to be told.
    @exchange = exchange(@session.create_channel)
  end

  def publish(text)
    @exchange.publish(text)
  end

  # The block runs on a thread of Bunny's.
  def each
    channel = @session.create_channel
    queue = channel.queue("", exclusive: true).bind(exchange(channel))
    queue.subscribe { |_delivery, _properties, bytes| yield bytes }
  end

  def stop = @session.close

  private

  def exchange(channel) = channel.fanout("websocket")
end

begin
  news = News.new(ENV.fetch("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672"))
rescue Bunny::Exception => e
  abort "There is no RabbitMQ at AMQP_URL: #{e.message}"
end

EM.run do
  %w[INT TERM].each { |signal| trap(signal) { EM.stop } }

  clients = []
  server = EM::WebSocket.run(host: "127.0.0.1", port: ARGV[0] || ENV["PORT"] || 8080) do |ws|
    ws.onopen { clients << ws }
    ws.onmessage { |text| news.publish(text) }
    ws.onclose { clients.delete(ws) }
  end

  # `broadcast` may be called from any thread.
  news.each do |bytes|
    text = bytes.dup.force_encoding(Encoding::UTF_8)
    EM::WebSocket.broadcast(clients.dup, text, binary: !text.valid_encoding?)
  end

  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  puts "Passing on what RabbitMQ has, on ws://127.0.0.1:#{port}/"
end

news.stop
