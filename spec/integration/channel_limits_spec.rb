# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "channels' limits", :extension do
  let(:name) { "limits:#{object_id}:#{Process.clock_gettime(Process::CLOCK_MONOTONIC)}" }

  def stats
    described_class.stats
  end

  # Subscribes, or whatever it is, where it is refused: the error.
  def refusal
    server.call do
      yield
      nil
    rescue StandardError => e
      e
    end
  end

  def start(transport = :background, options = {})
    serve_by(transport, options) do |ws|
      ws.onopen { note(:open) }
      ws.onmessage { |text| ws.send(text) }
      @ws = ws
    end
    connect.tap { next_event(:open) }
  end

  Transports::ALL.each do |transport, how|
    it "has :max_subscriptions for a connection #{how}, and goes on where one is too many" do
      client = start(transport, max_subscriptions: 2)
      server.call { 2.times { |n| @ws.subscribe("#{name} #{n}") } }
      server.call { 2.times { |n| @ws.join("#{name} #{n}", id: 1) } }
      [refusal { @ws.subscribe("#{name} 2") }, refusal { @ws.join("#{name} 2", id: 1) }].each do |e|
        expect(e).to be_a(EM::WebSocket::SubscriptionLimitError)
          .and have_attributes(message: /more than 2 channels/)
      end
      server.call { @ws.unsubscribe("#{name} 0") && @ws.leave("#{name} 0") }
      expect(refusal { @ws.subscribe("#{name} 2") && @ws.join("#{name} 2", id: 1) }).to be_nil
      client.text("still here")
      expect(client.read_text).to eq("still here")
    end
  end

  it "refuses a :max_subscriptions that is no number" do
    [-1, 1.5, "1", :a].each do |odd|
      starting = run_reactor do
        described_class.run(host: "127.0.0.1", port: 0, max_subscriptions: odd) { nil }
      end
      expect { starting.value }.to raise_error(ArgumentError, /max_subscriptions/)
    end
  end

  it "limits the subscriptions of the process, connections' and blocks'" do
    start
    there = stats[:subscriptions]
    described_class.channels { limit subscriptions: there + 2 }
    server.call { @ws.subscribe(name) }
    channel = EM::WebSocket::Channel.new(name)
    id = channel.subscribe { nil }
    [refusal { @ws.subscribe("#{name}:2") }, refusal { channel.subscribe { nil } }].each do |error|
      expect(error).to be_a(EM::WebSocket::SubscriptionLimitError)
        .and have_attributes(message: /subscriptions in all/)
    end
    channel.unsubscribe(id)
    expect(refusal { @ws.subscribe("#{name}:2") }).to be_nil
  ensure
    described_class.channels { limit subscriptions: 10_000_000 }
  end

  it "limits the memory of all histories: the oldest messages go, and are known to be lost" do
    channel = name
    described_class.channels do
      history "#{channel}*", size: 1_000
      limit history_bytes: 1_000_000
    end
    first = described_class.publish(name, "x" * 10_000)
    100.times { |n| described_class.publish("#{name}:#{n % 5}", "x" * 10_000) }
    start

    expect(stats[:bytes_in_channels]).to be_between(100_000, 1_000_000)
    expect(described_class.history(name, since: first.position)).to be_nil
    recovered = server.call do
      whether = :not_called
      @ws.subscribe(name, since: first.position) { |answer| whether = answer }
      whether
    end
    expect(recovered).to be(false)
  ensure
    described_class.channels { limit history_bytes: 256 * 1024 * 1024 }
  end

  it "refuses limits that cannot be what they are" do
    rules = EM::WebSocket::ChannelRules.new
    [{ subscriptions: -1 }, { subscriptions: "1" }, { history_bytes: -1 }, { history_bytes: :a },
     { history_bytes: Float::NAN }].each do |odd|
      expect { rules.limit(**odd) }.to raise_error(ArgumentError)
    end
    expect(rules.limit(subscriptions: nil)).to be_nil
  end

  it "counts channels, subscriptions and messages, for all servers together" do
    client = start
    before = stats
    server.call { @ws.subscribe(name) }
    3.times { described_class.publish(name, "x") }
    3.times { client.read_text }
    after = stats
    change = %i[channels subscriptions messages_published messages_delivered messages_dropped]
             .map { |key| after[key] - before[key] }

    expect(change).to eq([1, 1, 3, 3, 0])
    expect(described_class.stats(server.signature)).not_to include(:channels)
    expect(described_class.metrics).to include("_subscriptions #{after[:subscriptions]}\n")
  end

  def refused?(name)
    @ws.subscribe(name)
    false
  rescue EM::WebSocket::SubscriptionLimitError
    true
  end

  it "goes on where one client asks for a million names" do
    client = start
    before = stats[:channels]
    refused = 10.times.sum do |part|
      server.call { 100_000.times.count { |n| refused?("#{name} #{part} #{n}") } }
    end

    expect(refused).to eq(999_000)
    expect(stats[:channels] - before).to eq(1_000)
    client.text("still here")
    expect(client.read_text).to eq("still here")
    client.disconnect
    server.call { nil } until stats[:channels] == before
  end

  it "takes a position of another channel, or of a channel that has begun anew, for a lost one" do
    channel = name
    described_class.channels { history "#{channel}*", size: 10 }
    here, there = [name, "#{name}:2"].map { |one| described_class.publish(one, "1").position }
    start
    [there, here.sub(/\A\h+/, "1"), here.sub(/\d+\z/, "2"), "", "x", "\xFF", ":" * 100_000]
      .each do |since|
        server.call { @ws.unsubscribe }
        recovered = server.call do
          whether = nil
          @ws.subscribe(name, since: since) { |answer| whether = answer }
          whether
        end
        expect(recovered).to be(false), since.inspect[0, 50]
        expect(described_class.history(name, since: since)).to be_nil
      end
  end
end
