# frozen_string_literal: true

module Torture
  # Applications whose callbacks raise.
  class Exceptions < Fault
    fault "exceptions", "every callback raises, under load", limit: 240

    class Mine < StandardError; end

    KINDS = %i[request open message binary ping pong close error].freeze
    LOAD = 4

    # Messages at which a callback raises.
    PROVOKE = {
      message: ->(client) { client.text("raise") },
      error: ->(client) { client.text("raise") },
      binary: ->(client) { client.put(Client::BINARY, "raise").flush },
      ping: ->(client) { client.put(Client::PING, "raise").flush },
      pong: ->(client) { client.put(Client::PONG, "raise").flush },
      close: ->(client) { client.put(Client::CLOSE, [1000].pack("n")).flush }
    }.freeze

    def run
      heard("onerror", KINDS, onerror: true)
      heard("EM.error_handler", KINDS - [:error], onerror: false)
      unheard(KINDS - [:error])
    end

    private

    # Somebody is told: the process goes on, and so does everybody else.
    def heard(who, kinds, onerror:)
      seen = Hash.new(0)
      codes = []
      server = serve({}, answers: { seen: -> { seen } }, before: -> { count_leaving(seen) }) do |ws|
        onerror ? apply(ws, seen) { |error| note(seen, error) } : apply(ws, seen)
      end
      clients, ledgers = loaders(server)
      times = scaled(50, 10)
      sent = times.times.sum { |turn| take_turn(server, kinds, clients, turn, codes) }
      Client.pump(clients) { ledgers.sum(&:count) == sent }
      report(who, settled(server, times * (kinds.size + kinds.count(:error))), kinds, times)
      promise "#{who}: clients told 3000", codes.count(3000),
              equals: times * (kinds - %i[request close]).size
      promise "#{who}: others' messages echoed", ledgers.sum(&:count), equals: sent
      promise "#{who}: out of order", ledgers.sum(&:disorder), equals: 0
    end

    # Counts what leaves the callbacks.
    def count_leaving(seen) = EM.error_handler { |error| note(seen, error) }

    def note(seen, error)
      seen[error.is_a?(Mine) ? :told : :other] += 1
    end

    def settled(server, raised)
      eventually { server.ask(:seen).values_at(:raised, :told).compact.sum >= raised * 2 }
      server.ask(:seen)
    end

    def report(who, seen, kinds, times)
      # Where onerror raises as well, there are two to be told of.
      raised = times * (kinds.size + kinds.count(:error))
      promise "#{who}: exceptions raised", seen[:raised], equals: raised
      promise "#{who}: told of", seen[:told], equals: raised
      promise "#{who}: told of anything else", seen[:other].to_i, equals: 0
    end

    def loaders(server)
      clients = Array.new(LOAD) { Client.open(server.port) }
      ledgers = clients.map do |client|
        Ledger.new.tap { |ledger| client.on_frame = ->(_, body) { ledger << Integer(body) } }
      end
      [clients, ledgers]
    end

    # Everybody talks, and each callback raises once; how many messages are to be echoed.
    def take_turn(server, kinds, clients, turn, codes)
      each = 50
      clients.each do |client|
        1.upto(each) { |n| client.put(Client::TEXT, ((turn * each) + n).to_s) }
        client.flush
      end
      provoked = kinds.map { |kind| provoke(server.port, kind) }
      Client.pump(clients + provoked) { provoked.all?(&:ended?) }
      provoked.each do |client|
        codes << client.inbox.last&.then { |_, body| body.unpack1("n") }
        client.close
      end
      each * clients.size
    end

    # All of them are ended for it, by the server.
    def provoke(port, kind)
      client = Client.new(port)
      client.queue(Client.request("/#{kind}")).flush
      client.read_head
      PROVOKE[kind]&.call(client)
      client
    end

    # A connection whose path says which of its callbacks raises.
    def apply(ws, seen, &onerror)
      path = nil
      raises = lambda do |kind|
        next unless path == "/#{kind}"

        seen[:raised] += 1
        raise Mine, kind.to_s
      end
      ws.onrequest do |handshake, _|
        path = handshake.path
        raises.call(:request)
      end
      open_and_close(ws, seen, raises)
      messages(ws, raises)
      return unless onerror

      ws.onerror do |error|
        onerror.call(error)
        raises.call(:error)
      end
    end

    def open_and_close(ws, seen, raises)
      ws.onopen do
        seen[:opened] += 1
        raises.call(:open)
      end
      ws.onclose do
        seen[:closed] += 1
        raises.call(:close)
      end
    end

    def messages(ws, raises)
      ws.onmessage do |text|
        %i[message error].each(&raises) if text == "raise"
        ws.send(text)
      end
      ws.onbinary { raises.call(:binary) }
      ws.onping { raises.call(:ping) }
      ws.onpong { raises.call(:pong) }
    end

    # Nobody is told: the exception leaves EM.run, everybody's connection ends with it, and the
    # process may run the reactor again.
    def unheard(kinds)
      process = child { |line| kinds.each { line.puts(JSON.generate(run_once(line))) } }
      came = kinds.map do |kind|
        port = process.hear
        clients = Array.new(LOAD) { Client.open(port) }
        provoked = provoke(port, kind)
        process.hear.merge(ended: clients.count(&:ends?)).tap { provoked.close }
      end
      promise "neither: EM.run raises it", came.count { |one| one[:left] == Mine.name },
              equals: kinds.size
      promise "neither: onclose of all that were open", came.sum { |one| one[:closed] },
              equals: came.sum { |one| one[:opened] }
      promise "neither: clients' connections ended", came.sum { |one| one[:ended] },
              equals: LOAD * kinds.size
    end

    def run_once(line)
      ServerProcess.load
      seen = Hash.new(0)
      begin
        EM.run do
          server = EM::WebSocket.run(host: "127.0.0.1", port: 0) { |ws| apply(ws, seen) }
          line.puts(Socket.unpack_sockaddr_in(EM.get_sockname(server)).first)
        end
      rescue Mine => e
        seen[:left] = e.class.name
      end
      seen
    end
  end
end
