# frozen_string_literal: true

# Promises of channels that hold however the bytes of a connection come.
RSpec.describe EventMachine::WebSocket, "channels", :extension do
  let(:name) { "transports:#{object_id}:#{Process.clock_gettime(Process::CLOCK_MONOTONIC)}" }

  def publish(...)
    server.call { described_class.publish(...) }
  end

  # A server whose connections subscribe when they are open.
  def start(transport)
    @connections = []
    channel = name
    serve_by(transport) do |ws|
      ws.onopen do
        @connections << ws
        ws.subscribe(channel)
        note(:open)
      end
      ws.onmessage { |text| on_message(ws, text) }
      ws.onclose { note(:close, described_class.publish(channel, "bye").to_i) }
    end
  end

  def on_message(ws, text)
    described_class.publish(name, "published #{text}")
    ws.send("sent #{text}")
  end

  def clients(count = 2, draft = Drafts::RFC)
    Array.new(count) { connect(draft).tap { next_event(:open) } }
  end

  def keep(size: 100)
    channel = name
    described_class.channels { history(channel, size: size) }
  end

  Transports::ALL.each do |transport, how|
    context "with a connection #{how}" do
      Drafts::ALL.each do |draft|
        it "sends what is published, in #{draft}" do
          start(transport)
          both = clients(2, draft)

          expect(publish(name, "grüße")).to eq(2)
          expect(both.map(&:read_text)).to eq(["grüße"] * 2)
          expect(publish(name, "\xFF".b, binary: true)).to eq(draft.binary? ? 2 : 0)
        end
      end

      it "passes over the one that is excepted" do
        start(transport)
        both = clients

        expect(publish(name, "but one", except: @connections.first)).to eq(1)
        expect(publish(name, "both")).to eq(2)
        expect([both.last.read_text, both.last.read_text]).to eq(["but one", "both"])
        expect(both.first.read_text).to eq("both")
      end

      it "keeps the order of what blocks publish and send" do
        start(transport)
        client = clients(1).first
        client.write(%w[1 2 3].map { |text| client.encode(:text, text) }.join)

        expect(Array.new(6) { client.read_text })
          .to eq(%w[1 2 3].flat_map { |n| ["published #{n}", "sent #{n}"] })
      end

      it "keeps the order of what another thread publishes, sends and closes" do
        start(transport)
        client = clients(1).first
        Thread.new do
          20.times { |n| on_message(@connections.first, n) }
          described_class.publish(name, "last")
          @connections.first.close
        end.join

        expect(Array.new(41) { client.read_text })
          .to eq(Array.new(20) { |n| ["published #{n}", "sent #{n}"] }.flatten << "last")
        expect(client.read_frame.type).to eq(:close)
      end

      it "ends subscriptions when it is asked to, and with the connection" do
        start(transport)
        client, other = clients
        ws = @connections.first
        server.call { %w[a b].each { |one| ws.subscribe("#{name}:#{one}") } }
        server.call { ws.subscribe(name) }

        expect(server.call { ws.subscriptions }).to contain_exactly(name, "#{name}:a", "#{name}:b")
        %W[#{name}:a none].each { |one| expect(server.call { ws.unsubscribe(one) }).to be_nil }
        expect(server.call { ws.subscriptions.size }).to eq(2)
        expect(server.call { [ws.unsubscribe, ws.subscriptions] }).to eq([nil, []])
        other.disconnect
        expect(next_event(:close).value).to eq(0)
        client.text("x")
        expect(client.read_text).to eq("sent x")
      end

      it "sends who comes back what it has missed, then what follows, or says that it is lost" do
        keep(size: 2)
        start(transport)
        client = clients(1).first
        ws = @connections.first
        server.call { ws.unsubscribe }
        seen, = Array.new(3) { |n| publish(name, n.to_s) }
        server.call { ws.subscribe(name, since: seen.position) { |all| ws.send("all: #{all}") } }
        publish(name, "3")
        expect(Array.new(4) { client.read_text }).to eq(["1", "2", "all: true", "3"])
        server.call { ws.unsubscribe }
        server.call { ws.subscribe(name, since: seen.position) { |all| ws.send("all: #{all}") } }
        publish(name, "4")
        expect([client.read_text, client.read_text]).to eq(["all: false", "4"])
        expect { server.call { ws.subscribe(name, since: seen.position) } }
          .to raise_error(EM::WebSocket::WebSocketError, /subscribed already/)
      end

      it "raises before onopen, refuses too many, and does nothing once the connection is gone" do
        outcomes = Thread::Queue.new
        serve_by(transport) do |ws|
          outcomes << refusal { ws.subscribe("early") }
          ws.onopen { outcomes << refusal { 1_001.times { |n| ws.subscribe("#{name} #{n}") } } }
          ws.onclose { outcomes << [ws.subscribe("late"), ws.subscriptions, ws.unsubscribe] }
        end
        connect.close

        expect(outcomes.pop).to be_an_instance_of(EM::WebSocket::WebSocketError)
          .and have_attributes(message: "Cannot subscribe before onopen callback")
        expect(outcomes.pop).to be_a(EM::WebSocket::SubscriptionLimitError)
        expect(outcomes.pop).to eq([nil, [], nil])
      end

      it "calls none of an application's own methods of these names" do
        called = Thread::Queue.new
        channel = name
        serve_by(transport) do |ws|
          ws.onopen do
            ws.subscribe(channel)
            %i[subscribe unsubscribe subscriptions publish join leave send send_text send_binary]
              .each { |own| ws.define_singleton_method(own) { |*| called << own } }
            note(:open)
          end
        end
        client = clients(1).first
        publish(channel, "x")
        publish(channel, "y".b, binary: true)

        expect(client.read_text).to eq("x")
        expect(client.read(:binary)).to eq("y")
        client.disconnect
        server.stop
        expect(called).to be_empty
      end
    end
  end

  def refusal
    yield
    nil
  rescue StandardError => e
    e
  end

  it "tells a connection's onerror what sending to it has raised, and goes on with the others" do
    channel = name
    serve_by(:attached) do |ws|
      ws.onopen do
        ws.subscribe(channel)
        note(:open, nil, ws)
      end
      ws.onerror { |error| note(:error, error.message) }
      (@connections ||= []) << ws
    end
    both = clients
    # Once: the close that follows is sent.
    @connections.first.define_singleton_method(:send_data) do |data|
      data == "\x81\x01x".b ? raise("no") : super(data)
    end
    publish(channel, "x")

    expect(both.last.read_text).to eq("x")
    expect(next_event(:error).value).to eq("no")
  end
end
