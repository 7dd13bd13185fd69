# frozen_string_literal: true

# Limits on one client: `:max_connections_per_ip`, `:handshakes_per_second`, `:messages_per_second`.
RSpec.describe EventMachine::WebSocket, "and limits by client", :extension do
  def stats(*keys) = EM::WebSocket.stats(server.signature).values_at(*keys)
  def status(client) = client.response && client.response[:status][/\d{3}/]

  # A client who is let in once others have left: that takes a moment.
  def admitted(**request)
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 5
    loop do
      client = connect(**request)
      return client if status(client) == "101"
      raise "never let in" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
    end
  end

  describe ":max_connections_per_ip" do
    it "turns away one connection too many of an address, and lets others in" do
      serve(max_connections_per_ip: 2)
      clients = Array.new(3) { connect }

      expect(clients.map { |client| status(client) }).to eq(%w[101 101 503])
      expect(clients.last.read_to_end).to eq("Too many connections from this address (limit 2)")
      expect(status(connect(from: "127.0.0.2"))).to eq("101")
      expect(stats(:accepted, :turned_away, :turned_away_by_ip, :handshakes_failed))
        .to eq([3, 0, 1, {}])
      clients.first.disconnect
      admitted
    end

    it "counts connections that say nothing" do
      serve(max_connections_per_ip: 1)
      silent = dial

      # It may not have been accepted yet when the next one asks.
      server.connection
      expect(status(connect)).to eq("503")
      silent.disconnect
      admitted
    end

    it "closes one too many over TLS" do
      serve(max_connections_per_ip: 1, secure: true, tls_options: Certificate.tls_options)
      connect(tls: true)
      refused = dial

      expect(refused.read_to_end).to eq("")
      expect(stats(:turned_away_by_ip)).to eq([1])
    end

    proxies = {
      "X-Forwarded-For" => [{ trusted_proxies: "127.0.0.1" },
                            ->(_, ip) { { headers: { "X-Forwarded-For" => "6.6.6.6, #{ip}" } } }],
      "the PROXY protocol" => [{ proxy_protocol: true },
                               lambda do |client, ip|
                                 client.write("PROXY TCP4 #{ip} 127.0.0.1 1 2\r\n")
                                 {}
                               end]
    }
    proxies.each do |name, (options, introduce)|
      it "counts by the address that #{name} says" do
        serve(options.merge(max_connections_per_ip: 1))
        visit = lambda do |ip|
          dial.tap { |client| client.open(**introduce.call(client, ip)) }
        end
        first = visit.call("192.0.2.1")

        expect([first, visit.call("192.0.2.2")].map { |client| status(client) }).to eq(%w[101 101])
        refused = visit.call("192.0.2.1")
        expect(status(refused)).to eq("503")
        expect(stats(:turned_away_by_ip, :handshakes_failed)).to eq([1, {}])
        error = Array.new(3) { next_event }.find { |event| event.name == :error }.value
        expect(error).to be_instance_of(EM::WebSocket::HandshakeError)
        first.disconnect
        deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 5
        until status(visit.call("192.0.2.1")) == "101"
          raise "never let in" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
        end
      end
    end
  end

  describe ":handshakes_per_second" do
    it "answers who begins too many with 503 and when to come again" do
      serve(handshakes_per_second: 0.2)
      clients = Array.new(2) { connect.tap(&:disconnect) }

      expect(clients.map { |client| status(client) }).to eq(%w[101 503])
      expect(clients.last.response[:lines]).to include(/\ARetry-After: [1-5]\z/)
      expect(status(connect(from: "127.0.0.2"))).to eq("101")
      expect(stats(:turned_away_by_rate)).to eq([1])
    end

    it "lets them come again as the rate has it" do
      serve(handshakes_per_second: 10)
      statuses = Array.new(12) { status(connect) }

      expect(statuses.first(10)).to eq(["101"] * 10)
      expect(statuses).to include("503")
      admitted
    end

    it "judges plain HTTP, too, by the address that a proxy says" do
      serve(handshakes_per_second: 0.1, trusted_proxies: "127.0.0.1", http: { "/" => "here" })
      answers = Array.new(2) do
        client = dial
        client.write("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
        client.read_to_end
      end
      expect(answers.first).to start_with("HTTP/1.1 200 ").and end_with("here")
      expect(answers.last).to start_with("HTTP/1.1 503 ").and match(/^Retry-After: \d+\r$/)
    end
  end

  describe ":messages_per_second" do
    Transports::ALL.each do |transport, way|
      it "closes who sends more messages than may come with 1008, after those before, #{way}" do
        serve_by(transport, messages_per_second: 5) do |ws|
          record(ws, :message, :close)
          ws.onerror { |error| note(:error, [error.class, error.message, error.code]) }
        end
        flood = connect
        flood.write((1..9).map { |number| flood.encode(:text, number.to_s) }.join)

        expect(flood.read(:close)).to eq("\x03\xF0Too many messages (limit 5 a second)".b)
        expect(Array.new(5) { next_event(:message).value }).to eq(%w[1 2 3 4 5])
        expect(next_event(:error).value)
          .to eq([EM::WebSocket::WSMessageRateError, "Too many messages (limit 5 a second)", 1008])
        flood.text("more")
        flood.close(1008)
        expect(next_event.name).to eq(:close)
        expect(stats(:message_rate_limits)).to eq([1]) if transport == :background
      end

      it "lets messages come as the rate has it, #{way}" do
        serve_by(transport, messages_per_second: 20) { |ws| echo(ws) }
        client = connect
        20.times { |number| client.text(number.to_s) }
        expect(Array.new(20) { client.read_text }).to eq((0..19).map(&:to_s))
        sleep 0.1
        client.text("again")
        expect(client.read_text).to eq("again")
      end

      it "counts pings, and not the pongs to its own, #{way}" do
        serve_by(transport, messages_per_second: 3, ping_interval: 0.05) { |ws| echo(ws) }
        client = connect
        8.times { client.pong(client.read(:ping)) }
        4.times { client.ping }

        closes = Array.new(9) { client.read_frame }.find { |frame| frame.type == :close }
        expect(closes.payload.unpack1("n")).to eq(1008)
      end

      it "counts a pong that answers nothing, #{way}" do
        serve_by(transport, messages_per_second: 3, ping_interval: 60) { |ws| echo(ws) }
        client = connect
        4.times { client.pong("unasked") }

        expect(client.read(:close).unpack1("n")).to eq(1008)
      end
    end
  end

  it "has no limits by default, nor with 0 or infinity" do
    [{}, { max_connections_per_ip: 0, handshakes_per_second: 0, messages_per_second: 0 },
     { max_connections_per_ip: Float::INFINITY, handshakes_per_second: Float::INFINITY,
       messages_per_second: Float::INFINITY }].each do |options|
      serve(options)
      clients = Array.new(5) { connect }
      expect(clients.map { |client| status(client) }).to eq(["101"] * 5)
      200.times { clients.first.text("x") }
      expect(Array.new(200) { clients.first.read_text }.uniq).to eq(["x"])
      server.stop
      events.drain
    end
    expect { serve(handshakes_per_second: -1) }
      .to raise_error(ArgumentError, /handshakes_per_second: -1 is no number a second/)
  end
end
