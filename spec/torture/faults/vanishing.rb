# frozen_string_literal: true

module Torture
  # Clients that end without a word.
  class Vanishing < Fault
    PIECE = ("x" * 65_536).freeze

    private

    # Counts of what is told of the connections that have been open.
    def serve_counting(options = {})
      seen = { open: 0, codes: Hash.new(0) }
      serve(options, answers: { seen: -> { seen } }) do |ws|
        ws.onopen { seen[:open] += 1 }
        ws.onmessage { |text| text == "talk" ? talk(ws) : ws.send(text) }
        ws.onclose do |event|
          seen[:open] -= 1
          seen[:codes][event[:code]] += 1
        end
      end
    end

    # The server is in the middle of saying something long: 8 MiB.
    def talk(ws, left = 64)
      2.times { ws.send_binary(PIECE) if ws.state == :connected }
      EM.next_tick { talk(ws, left - 1) } if left > 1
    end

    def all_gone(server, fds, count)
      gone = settles_at(count) { server.ask(:seen)[:codes][:"1006"] }
      promise "onclose with 1006", gone, equals: count
      # The one who watches, if any, stays.
      promise "descriptors left", settles_at(0) { server.usage.fds - fds }, equals: 0
    end
  end

  # Processes that are killed with all their connections.
  class Killed < Vanishing
    fault "killed", "1,000 clients killed (SIGKILL) in the middle of a frame"

    PROCESSES = 4

    def run
      count = scaled(1000, 200)
      server = serve_counting
      watched = bystander(server)
      fds = server.usage.fds
      crowds = Array.new(PROCESSES) { crowd(server.port, count / PROCESSES) }
      crowds.each(&:hear)
      # A client hears the answer before the server's `onopen` is called.
      before = settles_at(count + 1) { server.ask(:seen)[:open] }
      promise "connections before", before, equals: count + 1
      crowds.each(&:kill)
      all_gone(server, fds, count)
      unaffected(watched)
    end

    private

    # One half of a frame each, then nothing.
    def crowd(port, count)
      half = Client.frame(Client::TEXT, "x" * 5000).byteslice(0, 2500)
      ChildProcess.new do |line|
        clients = Array.new(count) { Client.open(port).tap { |one| one.queue(half).flush } }
        line.puts(JSON.generate(clients.size))
        line.gets
      end
    end
  end

  # Connections that are reset, at every stage.
  class Reset < Vanishing
    fault "reset", "connections reset (RST), at five stages"

    STAGES = {
      "before the handshake" => ->(client) {},
      "in the handshake" => ->(client) { client.queue(Client.request[0, 40]).flush },
      "once open" => lambda(&:open),
      "in a frame" => ->(client) { client.open.queue("\x81\xFE\x13\x88".b).flush },
      "while the server writes" => ->(client) { client.open.text("talk") }
    }.freeze

    def run
      each = scaled(400, 100)
      server = serve_counting
      watched = bystander(server)
      fds = server.usage.fds
      each.times do
        STAGES.each_value do |reach|
          client = Client.new(server.port)
          reach.call(client)
          client.reset
        end
      end
      all_gone(server, fds, each * 3)
      unaffected(watched)
    end
  end

  # Clients whose machine stops: the kernel goes on, for a while, in the name of the process.
  class Stopped < Vanishing
    fault "stopped", "100 clients that stop (SIGSTOP) and are sent to"

    COUNT = 100
    LIMIT = 1024 * 1024

    def run
      server = serve_counting(outbound_limit: LIMIT)
      watched = bystander(server)
      fds = server.usage.fds
      crowd = ChildProcess.new do |line|
        clients = Array.new(COUNT) { Client.open(server.port, window: 4096) }
        line.puts("0")
        clients.each { |client| client.text("talk") } if line.gets
        line.puts("0")
        line.gets
      end
      crowd.hear
      server.usage.mark
      crowd.say("talk")
      crowd.hear
      crowd.signal(:STOP)
      all_gone(server, fds, COUNT)
      memory(server, at_most: (COUNT * LIMIT / MIB) + 48)
      unaffected(watched)
      crowd.kill
    end

    private

    # They ask to be talked to, and do not listen.
    def listeners(port)
      ChildProcess.new do |line|
        clients = Array.new(COUNT) { Client.open(port, window: 4096) }
        line.puts("0")
        clients.each { |client| client.text("talk") } if line.gets
        line.puts("0")
        line.gets
      end
    end
  end
end
