# frozen_string_literal: true

module Torture
  # Fault for which the library's memory is counted, and not what Ruby has yet to collect.
  class Collected < Fault
    EVERY = 500

    private

    def collect
      @calls = (@calls || 0) + 1
      GC.start if (@calls % EVERY).zero?
    end
  end

  # Many floods at once, while nothing is taken out of the queue.
  class Backlog < Collected
    fault "backlog", "50 floods while the block sleeps, with :inbound_limit and :inbound_total"

    CLIENTS = 50
    LIMIT = 256 * 1024
    TOTAL = 4 * 1024 * 1024
    MESSAGE = 2048
    # Bytes that each may have read more by the time that it is too much, with room to spare.
    READ = 128 * 1024

    def run
      each = scaled(5000, 1000)
      sleeps = scaled(5, 1)
      server = serve_numbers(sleeps)
      clients = Array.new(CLIENTS) { Client.open(server.port) }
      server.usage.mark
      clients.each { |client| 1.upto(each) { |n| client.put(Client::TEXT, n.to_s.ljust(MESSAGE)) } }
      promise "MiB sent", CLIENTS * each * MESSAGE / MIB, at_least: 2 * TOTAL / MIB
      Client.pump(clients, 120) { clients.none?(&:pending?) }
      report(server, each)
      memory(server, at_most: (TOTAL / MIB) + 48)
    end

    private

    def report(server, each)
      count = CLIENTS * each
      settles_at(count, 60) { server.ask(:seen)[:count] }
      seen = server.ask(:seen)
      promise "messages received", seen[:count], equals: count
      promise "sum of their numbers", seen[:sum], equals: CLIENTS * each * (each + 1) / 2
      promise "out of order", seen[:disorder], equals: 0
      promise "waiting at the most, of all", seen[:waiting] / MIB, "MiB",
              at_most: (TOTAL + (CLIENTS * READ)) / MIB
    end

    # A thread watches what waits; the reactor cannot.
    def serve_numbers(sleeps)
      ledgers = []
      waiting = 0
      slept = false
      watch = lambda do
        Thread.new do
          loop { waiting = [waiting, EM::WebSocket.stats[:bytes_waiting]].max.tap { sleep 0.01 } }
        end
      end
      answers = { seen: -> { Ledger.total(ledgers).merge(waiting: waiting) } }
      options = { inbound_limit: LIMIT, inbound_total: TOTAL }
      serve(options, answers: answers, before: watch) do |ws|
        ledgers << (ledger = Ledger.new)
        ws.onmessage do |text|
          sleep(sleeps) unless slept
          slept = true
          ledger << text.to_i
          collect
        end
      end
    end
  end

  # An application that minds how much waits for a client who reads slowly.
  class Drain < Collected
    fault "drain", "a slow reader, and an application that waits for ondrain"

    MESSAGE = 16 * 1024
    HIGH_WATER = 256 * 1024

    def run
      count = scaled(16_384, 4096)
      server = serve_politely(count)
      client = Client.open(server.port, window: 65_536)
      server.usage.mark
      ledger = Ledger.new
      client.on_frame = ->(_, body) { ledger << body.to_i }
      client.text("go")
      Client.pump([client]) do
        sleep 0.0002
        ledger.count == count
      end
      promise "messages, of #{count * MESSAGE / 1024 / 1024} MiB", ledger.count, equals: count
      promise "out of order", ledger.disorder, equals: 0
      promise "waited at the most", server.ask(:most) / 1024.0, "KiB",
              at_most: (HIGH_WATER + MESSAGE + 16) / 1024.0
      memory(server, at_most: 16)
    end

    private

    def serve_politely(count)
      most = 0
      serve({}, answers: { most: -> { most } }) do |ws|
        ws.outbound_high_water = HIGH_WATER
        number = 0
        more = proc do
          while number < count && ws.buffered_amount <= HIGH_WATER
            ws.send((number += 1).to_s.ljust(MESSAGE))
            collect
            most = [most, ws.buffered_amount].max
          end
        end
        ws.onmessage(&more)
        ws.ondrain(&more)
      end
    end
  end

  # An end in good order, under load.
  class Shutdown < Fault
    fault "shutdown", "shutdown with 200 clients that are being sent to, 10 of which never answer"

    CLIENTS = 200
    DEAF = 10
    EACH = 500

    def run
      timeout = scaled(10, 3)
      server = serve_and_end(timeout)
      deaf = Array.new(DEAF) { Client.open(server.port) }
      clients = Array.new(CLIENTS) { Client.open(server.port) }
      ledgers, closes = listen(clients)
      clients.each { |client| client.text("go") }
      eventually { server.ask(:sent) == CLIENTS * EACH }
      since = now
      server.say(:shutdown)
      Client.pump(clients) { clients.all?(&:ended?) }
      report(ledgers, closes)
      promise "clients that answer are gone after", now - since, "s", at_most: timeout.to_f
      server.hear
      eventually { server.ask(:over) == 1 }
      promise "it ends, for those that do not, after", now - since, "s", at_most: timeout + 3.0
      promise "onclose, all told", server.ask(:closed), equals: CLIENTS + DEAF
      deaf.each(&:close)
    end

    private

    def listen(clients)
      ledgers = clients.map { Ledger.new }
      closes = []
      clients.zip(ledgers) do |client, ledger|
        client.on_frame = lambda do |opcode, body|
          opcode == Client::CLOSE ? closes << body.unpack1("n") : ledger << body.to_i
        end
      end
      [ledgers, closes]
    end

    def report(ledgers, closes)
      promise "told 1001", closes.count(1001), equals: CLIENTS
      sent = EACH * (EACH + 1) / 2 * CLIENTS
      promise "sum of the messages sent before", ledgers.sum(&:sum), equals: sent
      promise "out of order", ledgers.sum(&:disorder), equals: 0
    end

    # Answers `shutdown` when it is over.
    def serve_and_end(timeout)
      seen = Hash.new(0)
      answers = {
        sent: -> { seen[:sent] }, closed: -> { seen[:closed] }, over: -> { seen[:over] },
        shutdown: -> { EM::WebSocket.shutdown(timeout) { seen[:over] = 1 } && nil }
      }
      serve({}, answers: answers) do |ws|
        ws.onmessage do
          1.upto(EACH) { |n| ws.send(n.to_s.ljust(200)) }
          seen[:sent] += EACH
        end
        ws.onclose { seen[:closed] += 1 }
      end
    end
  end
end
