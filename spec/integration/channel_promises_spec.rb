# frozen_string_literal: true

require "open3"

# What docs/channels.md says of channels, at their edges.
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

  it "does not know a channel again in which there was nobody and nothing" do
    keep
    serve_others
    client = connect
    position = position_of(client)
    client.disconnect
    next_event(:close)

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

  it "gives a forked child channels of its own, and rules" do
    library = File.expand_path("../../lib", __dir__)
    program = <<~RUBY
      EM::WebSocket.channels { history "a", size: 9 }
      since = EM::WebSocket.publish("a", "parent's").position
      child = fork do
        p EM::WebSocket.publish("a", "x").position, EM::WebSocket.history("a")
        EM::WebSocket.channels { history "a", size: 9 }
        EM::WebSocket.publish("a", "child's")
        p EM::WebSocket.history("a").map(&:last), EM::WebSocket.history("a", since: since)
      end
      Process.wait(child)
      p EM::WebSocket.history("a").map(&:last)
    RUBY
    said, status = Open3.capture2e(RbConfig.ruby, "-I", library, "-r", "em-websocket",
                                   "-e", program)
    expect([status.success?, said]).to eq([true, <<~SAID])
      nil
      []
      ["child's"]
      nil
      ["parent's"]
    SAID
  end
end
