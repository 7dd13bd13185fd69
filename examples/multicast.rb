# frozen_string_literal: true

# Everything that comes from one source goes to every client, through a channel. The source here is
# a thermometer that does not exist; it could as well be a queue, a log or a database.
#
# It was written for EM::Channel, and one line is another now. Where a message goes out as it comes,
# `ws.subscribe("readings")` does it without a block, and an `onclose` is not needed.
#
#   ruby -Ilib examples/multicast.rb [port]      (8080 by default; 0: any free port)

require "em-websocket"
require "json"

$stdout.sync = true

# Calls its block with a reading every so often.
class Thermometer
  def initialize(interval: 0.5)
    @interval = interval
    @celsius = 20.0
  end

  def each_reading
    EM.add_periodic_timer(@interval) do
      @celsius = (@celsius + rand(-0.5..0.5)).clamp(-40, 60).round(1)
      yield @celsius
    end
  end
end

EM.run do
  %w[INT TERM].each { |signal| trap(signal) { EM.stop } }

  readings = EM::WebSocket::Channel.new("readings")
  Thermometer.new.each_reading { |celsius| readings.push(JSON.generate(celsius: celsius)) }

  server = EM::WebSocket.run(host: "127.0.0.1", port: ARGV[0] || ENV["PORT"] || 8080) do |ws|
    subscription = nil

    ws.onopen do
      subscription = readings.subscribe { |reading| ws.send(reading) }
      puts "subscribed: #{subscription}"
    end

    ws.onclose do
      readings.unsubscribe(subscription)
      puts "unsubscribed: #{subscription}"
    end
  end

  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  puts "Multicasting on ws://127.0.0.1:#{port}/"
end
