# frozen_string_literal: true

module Torture
  # An application that does not come back for a while.
  class Blocked < Fault
    fault "blocked", "the reactor blocked for 5 s under load"

    CLIENTS = 8
    # Messages a second, of all.
    RATE = 40_000

    def run
      pause = scaled(5, 1)
      server = serve_numbers
      clients = Array.new(CLIENTS) { Client.open(server.port) }
      echoes = clients.map { |client| ledger_of(client) }
      sent = Array.new(CLIENTS) { Ledger.new }
      load(clients, sent, 1)
      server.say(:block, pause)
      load(clients, sent, pause * 0.95)
      behind = sent.sum(&:count) - echoes.sum(&:count)
      server.hear
      took = timed { Client.pump(clients) { echoes.sum(&:count) == sent.sum(&:count) } }
      promise "messages behind, at the end of the block", behind, at_least: RATE / 10
      compare(Ledger.total(sent), server.ask(:sums), Ledger.total(echoes))
      promise "caught up, after the block, in", took, "s", at_most: 10.0
    end

    private

    def serve_numbers
      ledgers = []
      sums = -> { Ledger.total(ledgers) }
      block = ->(seconds) { sleep(seconds) }
      serve(answers: { sums: sums, block: block }) do |ws|
        ledgers << (ledger = Ledger.new)
        ws.onmessage do |text|
          ledger << Integer(text)
          ws.send(text)
        end
      end
    end

    def ledger_of(client)
      Ledger.new.tap { |ledger| client.on_frame = ->(_, body) { ledger << Integer(body) } }
    end

    def load(clients, sent, seconds)
      deadline = now + seconds
      until now > deadline
        clients.zip(sent) do |client, ledger|
          (RATE / CLIENTS / 20).times do
            ledger << (ledger.count + 1)
            client.put(Client::TEXT, ledger.count.to_s)
          end
          client.flush
        end
        tick = now + 0.05
        Client.pump(clients) { now > tick }
      end
    end

    def compare(sent, received, echoed)
      tell "messages sent, the sum of their numbers", "#{sent[:count]}, #{sent[:sum]}"
      promise "messages received, their sum", received.values_at(:count, :sum).join(", "),
              equals: sent.values_at(:count, :sum).join(", ")
      promise "messages echoed, their sum", echoed.values_at(:count, :sum).join(", "),
              equals: sent.values_at(:count, :sum).join(", ")
      promise "out of order, either way", received[:disorder] + echoed[:disorder], equals: 0
    end
  end
end
