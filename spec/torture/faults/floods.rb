# frozen_string_literal: true

module Torture
  # A client that sends far more than the application takes.
  class Flood < Fault
    fault "flood", "a million small messages while the block sleeps", limit: 300

    BATCH = 1000

    def run
      count = scaled(1_000_000, 100_000)
      sleeps = scaled(5, 1)
      server = serve_numbers(sleeps)
      client = Client.open(server.port)
      server.usage.mark
      held = send_all(client, count, sleeps, server)
      promise "messages sent and received", settles_at(count) { server.ask(:sums)[:count] },
              equals: count
      sums = server.ask(:sums)
      promise "sum of their numbers", sums[:sum], equals: count * (count + 1) / 2
      promise "out of order", sums[:disorder], equals: 0
      promise "memory while the block sleeps", held / MIB, "MiB more", at_most: 16
      memory(server, at_most: 48)
    end

    private

    def serve_numbers(sleeps)
      ledger = Ledger.new
      sums = -> { Ledger.total([ledger]) }
      serve(answers: { sums: sums }) do |ws|
        ws.onmessage do |text|
          sleep(sleeps) if ledger.count.zero?
          ledger << Integer(text)
        end
      end
    end

    # Memory that the server held more when the sleep was nearly over.
    def send_all(client, count, sleeps, server)
      wakes = now + (sleeps * 0.9)
      held = nil
      1.step(count, BATCH) do |first|
        first.upto([first + BATCH - 1, count].min) { |n| client.put(Client::TEXT, n.to_s) }
        Client.pump([client]) do
          held ||= server.usage.growth if now > wakes
          !client.pending?
        end
      end
      held || server.usage.growth
    end
  end

  # Answers that nobody reads.
  class Pings < Fault
    fault "pings", "a flood of pings from a client that does not read", limit: 240

    BODY = "ping" * 30

    def run
      count = scaled(1_000_000, 100_000)
      pings = 0
      server = serve(answers: { pings: -> { pings } }) { |ws| ws.onping { pings += 1 } }
      client = Client.open(server.port)
      server.usage.mark
      count.pred.times { flood(client, BODY) }
      flood(client, "the last")
      promise "pings received", settles_at(count, 120) { server.ask(:pings) }, equals: count
      memory(server, at_most: 48)
      promise "the last pong, once it reads", last_pong(client), equals: "the last"
    end

    private

    def flood(client, body)
      @ping ||= Client.frame(Client::PING, BODY)
      client.queue(body.equal?(BODY) ? @ping : Client.frame(Client::PING, body))
      @waiting = (@waiting || 0) + 1
      client.flush_all if (@waiting % 500).zero? || body != BODY
    end

    def last_pong(client)
      last = nil
      client.on_frame = ->(_, body) { last = body }
      Client.pump([client]) { last == "the last" }
      last
    end
  end

  # Close frames, again and again.
  class Closes < Fault
    fault "closes", "floods of close frames from clients that do not read"

    def run
      connections, frames = scaled([1000, 1000], [200, 500])
      closed = Hash.new(0)
      server = serve(answers: { closed: -> { closed } }) do |ws|
        ws.onmessage { |text| ws.send(text) }
        ws.onclose { |event| closed[event[:code]] += 1 }
      end
      watched = bystander(server)
      fds = server.usage.fds
      server.usage.mark
      clients = Array.new(connections) { Client.open(server.port) }
      flood = Client.frame(Client::CLOSE, [1000].pack("n")) * frames
      clients.each { |client| client.queue(flood).flush }
      came = settles_at(connections) { server.ask(:closed)[:"1000"] }
      promise "closed with 1000, once each", came, equals: connections
      promise "descriptors left", settles_at(0) { server.usage.fds - fds }, equals: 0
      memory(server, at_most: 48)
      unaffected(watched)
    end
  end
end
