# frozen_string_literal: true

# Pings every client once a second and says how long its pong took; a client that misses three in
# a row is closed.
#
#   ruby -Ilib examples/ping.rb [port]      (8080 by default; 0: any free port)

require "em-websocket"

$stdout.sync = true

INTERVAL = 1
MISSES = 3

def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

EM.run do
  %w[INT TERM].each { |signal| trap(signal) { EM.stop } }

  server = EM::WebSocket.run(host: "127.0.0.1", port: ARGV[0] || ENV["PORT"] || 8080) do |ws|
    unanswered = 0
    timer = nil

    ws.onopen do
      next ws.close(4000, "this draft has no ping") unless ws.pingable?

      timer = EM.add_periodic_timer(INTERVAL) do
        next unless ws.state == :connected
        next ws.close(4001, "no pong") if (unanswered += 1) > MISSES

        # The payload comes back in the pong, so it can carry the time at which it left.
        ws.ping([now].pack("G"))
      end
    end

    ws.onpong do |payload|
      unanswered = 0
      sent = payload.unpack1("G")
      puts format("pong after %<took>.1f ms", took: (now - sent) * 1000) if sent
    end

    ws.onclose do |event|
      timer&.cancel
      puts "closed: #{event[:code]} #{event[:reason]}".rstrip
    end
  end

  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  puts "Pinging on ws://127.0.0.1:#{port}/"
end
