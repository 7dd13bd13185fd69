# frozen_string_literal: true

require_relative "../visitor"

module Torture
  # Everything at once, for a long time.
  class Soak < Fault
    fault "soak", "mixed drafts, compression, TLS, connects and disconnects"

    PROCESSES = 2
    # Seconds: from when on memory is compared, and over how much of an end it is judged.
    WARM = 60
    SAMPLE = 15

    # Without and with TLS, served by one thread and by two.
    def self.duration(settings) = settings[:seconds] || (settings[:quick] ? 10 : 600)
    def self.limit(settings) = duration(settings) + 180

    def run
      seconds = Soak.duration({ seconds: @seconds, quick: quick? })
      server = serve_mixed
      crowds = Array.new(PROCESSES) { |number| crowd(server.ports, number, seconds) }
      samples = memory_of(server, seconds)
      came = crowds.map(&:hear)
      compare(came, server)
      growth(samples, seconds)
    end

    private

    def serve_mixed
      ledgers = []
      totals = Hash.new(0)
      seen = -> { totals.merge(Ledger.total(ledgers)) { |_, a, b| a + b } }
      tls = { secure: true, tls_options: Certificate.tls_options }
      # Served by one thread, and by two.
      kinds = [1, 2].product([{}, tls]).map do |threads, options|
        { compression: true, threads: threads, **options }
      end
      serve(kinds, answers: { seen: seen }) do |ws|
        ledger = Ledger.new
        ws.onopen { ledgers << ledger }
        ws.onmessage { |text| ws.send(text) if ledger << text.to_i }
        ws.onbinary { |bytes| ws.send_binary(bytes) if ledger << bytes.to_i }
        ws.onclose do
          totals[:closed] += 1
          # What is over is added up, so that it is this server's own memory that is measured.
          ledgers.delete(ledger)
          Ledger.total([ledger]).each { |name, count| totals[name] += count }
        end
      end
    end

    def crowd(ports, number, seconds)
      child do |line|
        random = Random.new(6455 + number)
        visitors = Visitor::KINDS.map { |kind| Visitor.new(kind, ports, random) }
        deadline = now + seconds
        Visitor.patiently do
          until now > deadline
            visitors.shuffle(random: random).each_slice(8) { |some| converse(some) }
          end
        end
        visitors.each { |visitor| visitor.leave(:disconnect) }
        line.puts(JSON.generate(totals(visitors)))
      end
    end

    # All of them speak before any of them hears.
    def converse(visitors)
      first, *rest = visitors
      first&.talk { converse(rest) }
    end

    def totals(visitors)
      { connections: visitors.sum(&:connections),
        sent: Ledger.total(visitors.flat_map(&:sent)),
        echoed: Ledger.total(visitors.flat_map(&:echoed)) }
    end

    # Bytes, each second.
    def memory_of(server, seconds)
      Array.new(seconds) do
        sleep 1
        server.usage.rss
      end
    end

    def compare(came, server)
      sent, echoed = %i[sent echoed].map do |side|
        %i[count sum disorder].to_h { |key| [key, came.sum { |one| one[side][key] }] }
      end
      connections = came.sum { |one| one[:connections] }
      settles_at(connections) { server.ask(:seen)[:closed] }
      seen = server.ask(:seen)
      promise "connections, all closed again", seen[:closed], equals: connections
      tell "messages sent, and the sum of their numbers", "#{sent[:count]}, #{sent[:sum]}"
      promise "lost on the way there", sent[:count] - seen[:count], equals: 0
      promise "lost on the way back", seen[:count] - echoed[:count], equals: 0
      promise "sum, at the server's", seen[:sum], equals: sent[:sum]
      promise "sum, of the echoes", echoed[:sum], equals: sent[:sum]
      promise "out of order", seen[:disorder] + echoed[:disorder], equals: 0
    end

    def growth(samples, seconds)
      tell "memory at the end", samples.last / MIB, "MiB"
      return if seconds < WARM + (2 * SAMPLE)

      before = median(samples[WARM, SAMPLE])
      more = (median(samples.last(SAMPLE)) - before) * 100.0 / before
      promise "memory, since the first minute", more, "%", at_most: 5.0
    end

    def median(numbers) = numbers.sort[numbers.size / 2]
  end
end
