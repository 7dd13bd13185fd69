# frozen_string_literal: true

# Promises of docs/channels.md, at their edges.
RSpec.describe EventMachine::WebSocket, "channels, at their edges", :extension do
  let(:channel) { "edges:#{Process.clock_gettime(Process::CLOCK_MONOTONIC)}" }

  def keep(size: 100, **rule)
    name = channel
    described_class.channels { history(name, size: size, **rule) }
  end

  # Clients say what to publish, to everybody but themselves; and each begins where it says.
  def serve_others(options = {})
    name = channel
    serve(options) do |ws|
      record(ws, :close)
      ws.onopen do |handshake|
        recovered = nil
        position = ws.subscribe(name, since: handshake.query["since"]) { |value| recovered = value }
        ws.send("#{recovered.inspect} #{position}")
      end
      ws.onmessage { |text| ws.send(described_class.publish(name, text, except: ws).position) }
    end
  end

  def position_of(client) = client.read_text.split.last

  def say(client, text)
    client.text(text)
    client.read_text
  end

  it "sends who comes back also what its former connection was excepted from" do
    keep
    serve_others
    client = connect
    position = position_of(client)
    after = say(client, "own")
    client.disconnect

    back = connect(target: "/?since=#{position}")
    expect([back.read_text, back.read_text]).to eq(["own", "true #{after}"])
  end

  it "has nothing for who comes back with the last position" do
    keep
    serve_others
    client = connect
    position_of(client)
    last = say(client, "own")

    expect(connect(target: "/?since=#{last}").read_text).to eq("true #{last}")
  end

  it "takes a position in the way in which browsers write it into a URL" do
    keep
    serve_others
    client = connect
    escaped = position_of(client).sub(":", "%3A")
    say(client, "missed")

    expect(connect(target: "/?since=#{escaped}").read_text).to eq("missed")
  end

  it "knows a channel again in which there was nobody and nothing, for as long as its ttl" do
    keep
    serve_others
    client = connect
    position = position_of(client)
    client.disconnect
    next_event(:close)

    expect(connect(target: "/?since=#{position}").read_text).to eq("true #{position}")
  end

  it "does not know one again for which nobody has come back in time" do
    keep(ttl: 0.2)
    serve_others
    client = connect
    position = position_of(client)
    before = described_class.stats[:channels]
    client.disconnect
    next_event(:close)
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 8
    until described_class.stats[:channels] < before
      expect(Process.clock_gettime(Process::CLOCK_MONOTONIC)).to be < deadline
      server.call { nil }
    end

    expect(connect(target: "/?since=#{position}").read_text).to start_with("false ")
  end

  it "counts what was missed for the :outbound_limit" do
    keep
    serve_others(outbound_limit: 1 << 20)
    described_class.publish(channel, "so that it stays")
    client = connect
    position = position_of(client)
    client.disconnect
    next_event(:close)
    server.call { 20.times { described_class.publish(channel, "x" * (1 << 20)) } }

    connect(target: "/?since=#{position}")
    expect(next_event(:close).value).to include(code: 1006)
    expect(described_class.stats[:outbound_limits]).to eq(1)
  end

  it "gives a forked child channels of its own, by its parent's rules" do
    expect(run_apart(<<~RUBY)).to eq(<<~SAID)
      EM::WebSocket.channels { history "a", size: 2 }
      since = EM::WebSocket.publish("a", "parent's").position
      child = fork do
        p EM::WebSocket.history("a"), EM::WebSocket.history("a", since: since)
        3.times { |n| EM::WebSocket.publish("a", "child's \#{n}") }
        p EM::WebSocket.history("a").map(&:last), EM::WebSocket.history("a", since: since)
        EM::WebSocket.channels { history "a", size: 1 }
        Process.wait(fork do
          2.times { |n| EM::WebSocket.publish("a", "grandchild's \#{n}") }
          p EM::WebSocket.history("a").map(&:last)
        end)
      end
      Process.wait(child)
      p EM::WebSocket.history("a").map(&:last)
    RUBY
      []
      nil
      ["child's 1", "child's 2"]
      nil
      ["grandchild's 1"]
      ["parent's"]
    SAID
  end

  it "has all of a parent's rules hold in a forked child, in their order, and its limits" do
    expect(run_apart(<<~RUBY)).to eq(<<~SAID)
      #{Apart::CLIENT}
      $stdout.sync = true
      pattern = +"a:*"
      envelope = +"<%{raw}>"
      EM::WebSocket.channels do
        history "a:1", size: 9
        history pattern, size: 1, envelope: envelope
        history "*", size: 3
        slow "s", keep: :last
        limit subscriptions: 1
        limit history_bytes: 2_000
        onjoin("*") { |name, id| puts "\#{id} has joined \#{name}" }
      end
      EM::WebSocket.channels { history "a:1", size: 2 }
      pattern.clear
      envelope.clear
      ours = Class.new(EM::WebSocket::Connection) do
        def trigger_on_open(_)
          subscribe("s")
          begin
            subscribe("t")
          rescue EM::WebSocket::SubscriptionLimitError => e
            puts e.message
          end
          join("a:2", id: 1)
          200.times { |n| EM::WebSocket.publish("s", "\#{n} \#{"x" * 1_000_000}") }
          p EM::WebSocket.const_get(:Native).channel_stats.fetch(:messages_dropped).positive?
          EM.stop
        end
      end
      child = fork do
        %w[a:1 a:2 b].each { |name| 5.times { |n| EM::WebSocket.publish(name, n.to_s) } }
        p %w[a:1 a:2 b].map { |name| EM::WebSocket.history(name).map(&:last) }
        EM::WebSocket.publish("b", "x" * 1_000)
        p EM::WebSocket.history("a:1")
        EM.run do
          server = EM.start_server("127.0.0.1", 0, ours, {})
          port = Socket.unpack_sockaddr_in(EM.get_sockname(server)).first
          Thread.new { client(port) }
        end
      end
      Process.wait(child)
    RUBY
      [["3", "4"], ["4"], ["2", "3", "4"]]
      []
      Cannot have more than 1 subscriptions in all
      1 has joined a:2
      true
    SAID
  end
end
