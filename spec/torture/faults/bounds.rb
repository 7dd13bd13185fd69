# frozen_string_literal: true

module Torture
  # Clients that come to the end of a time, or of a number.
  class Bounds < Fault
    # Lateness with which the end of a time may be seen on a busy machine.
    LATE = 3.0
    PIECE = ("x" * 131_072).freeze

    private

    # Tells when connections were closed, and with which codes; echoes.
    def serve_timing(options)
      closes = []
      answers = { closes: -> { closes }, stats: -> { EM::WebSocket.stats } }
      serve(options, answers: answers) do |ws|
        ws.onmessage { |text| text == "more" ? more(ws) : ws.send(text) }
        ws.onclose { |event| closes << [event[:code], now] }
      end
    end

    # Sends to one who does not read, as long as it is not gone.
    def more(ws)
      return unless ws.state == :connected

      ws.send_binary(PIECE) if ws.buffered_amount.zero?
      EM.add_timer(0.01) { more(ws) }
    end

    def closed(server, count, code, since, between:)
      closes = settles_closed(server, count)
      promise "onclose with #{code}", closes.count { |each, _| each == code }, equals: count
      times = closes.map { |_, time| time - since }
      promise "the first, after", times.min.to_f, "s", at_least: between.first
      promise "the last, after", times.max.to_f, "s", at_most: between.last
    end

    def settles_closed(server, count)
      eventually(60, every: 0.1) { server.ask(:closes).size >= count }
      server.ask(:closes)
    end

    # A process with this many clients, which says when they are open, and then nothing any more.
    def silent(port, count, message = nil)
      ChildProcess.new do |line|
        clients = Array.new(count) { Client.open(port, window: 4096) }
        clients.each { |client| client.text(message) } if message
        line.puts(JSON.generate(clients.size))
        line.gets
      end.tap(&:hear)
    end
  end

  # More connections than there may be.
  class MaxConnections < Bounds
    fault "full", "three times as many clients as :max_connections"

    LIMIT = 100
    AT_A_TIME = 64

    def run
      server = serve_timing(max_connections: LIMIT)
      watched = bystander(server)
      clients = Array.new(LIMIT * 3) do
        Client.new(server.port).tap { |client| client.queue(Client.request).flush }
      end
      statuses = clients.map { |client| client.read_head.to_s[/\d{3}/] }
      promise "opened, beside the bystander", statuses.count("101"), equals: LIMIT - 1
      # They are answered at leisure, and so only some at a time; the others are just closed.
      promise "answered with 503", statuses.count("503"), at_least: AT_A_TIME
      opened, refused = clients.zip(statuses).partition { |_, status| status == "101" }
      promise "and ended", refused.count { |client, _| client.ends? }, equals: refused.size
      opened.each { |client, _| client.close }
      settles_closed(server, opened.size)
      promise "opened once the others are gone", again(server), equals: LIMIT / 2
      promise "counted by stats", server.ask(:stats)[:turned_away], equals: refused.size
      unaffected(watched)
    end

    private

    def again(server)
      Array.new(LIMIT / 2) { Client.open(server.port) }.each(&:close).size
    end
  end

  # Nothing is heard of a client any more, and its kernel says nothing either.
  class Pinged < Bounds
    fault "pinged", "100 clients that stop (SIGSTOP), with :ping_interval and :ping_timeout"

    COUNT = 100

    def run
      interval, timeout = scaled([5, 5], [1, 1])
      server = serve_timing(ping_interval: interval, ping_timeout: timeout)
      watched = bystander(server)
      crowd = silent(server.port, COUNT)
      crowd.signal(:STOP)
      closed(server, COUNT, 1006, now, between: [timeout, interval + (timeout * 1.25) + LATE])
      promise "counted by stats", server.ask(:stats)[:ping_timeouts], equals: COUNT
      unaffected(watched)
      crowd.kill
    end
  end

  # Clients that take nothing of what is sent to them.
  class WriteTimeout < Bounds
    fault "unwritten", "100 clients whose TCP window stays 0, with a :write_timeout"

    COUNT = 100

    def run
      timeout = scaled(10, 2)
      server = serve_timing(write_timeout: timeout)
      watched = bystander(server)
      since = now
      crowd = silent(server.port, COUNT, "more")
      # The bystander reads all the while.
      closed(server, COUNT, 1006, since, between: [timeout * 0.9, (timeout * 1.125) + (LATE * 2)])
      promise "counted by stats", server.ask(:stats)[:write_timeouts], equals: COUNT
      unaffected(watched)
      crowd.kill
    end
  end

  # Clients that say nothing for long.
  class IdleTimeout < Bounds
    fault "silent", "100 clients that say nothing, with an :idle_timeout"

    COUNT = 100

    def run
      timeout = scaled(10, 2)
      server = serve_timing(idle_timeout: timeout)
      watched = bystander(server)
      since = now
      clients = Array.new(COUNT) { Client.open(server.port) }
      Client.pump(clients) { clients.all?(&:ended?) }
      told = clients.count do |client|
        opcode, body = client.inbox.last
        opcode == Client::CLOSE && body.unpack1("n") == 1001
      end
      promise "told 1001", told, equals: COUNT
      closed(server, COUNT, 1001, since, between: [timeout * 0.9, (timeout * 1.125) + LATE])
      promise "counted by stats", server.ask(:stats)[:idle_timeouts], equals: COUNT
      unaffected(watched)
    end
  end
end
