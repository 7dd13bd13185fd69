# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "channel objects", :extension do
  let(:name) { "objects:#{object_id}:#{Process.clock_gettime(Process::CLOCK_MONOTONIC)}" }
  let(:channel) { EM::WebSocket::Channel.new(name) }
  let(:got) { Mailbox.new }

  it "calls its blocks on the reactor's thread with every message, until they are unsubscribed" do
    run_reactor { nil }
    first = channel.subscribe { |message| got << [1, message, EM.reactor_thread?] }
    channel.subscribe { |message| got << [2, message, EM.reactor_thread?] }
    publication = channel.push("a", "ü")
    four = Array.new(4) { got.pop }
    expect(four.select { |number, *| number == 1 }).to eq([[1, "a", true], [1, "ü", true]])
    expect(four.select { |number, *| number == 2 }).to eq([[2, "a", true], [2, "ü", true]])
    expect(publication).to eq(2)

    channel.unsubscribe(first)
    EM::WebSocket::Channel.new(name) << "b"
    expect(got.pop).to eq([2, "b", true])
    expect([channel.num_subscribers, got.empty?]).to eq([1, true])
  end

  it "calls them at once where the reactor's thread pushes, as EM::Channel does" do
    reactor = run_reactor { nil }
    seen = reactor.call do
      list = []
      channel.subscribe { |message| list << message }
      channel << "a"
      channel.push("\xFF".b, binary: true)
      list
    end
    expect(seen).to eq(["a", "\xFF".b])
    expect(seen.map(&:encoding)).to eq([Encoding::UTF_8, Encoding::BINARY])
  end

  it "takes what EM::Callback takes, and pops one message" do
    reactor = run_reactor { nil }
    list = []
    reactor.call do
      channel.subscribe(list, :push)
      channel.pop { |message| list << [message] }
      channel.push("a", "b")
    end
    expect(list).to contain_exactly("a", ["a"], "b")
    expect(channel.num_subscribers).to eq(1)
  end

  it "is one channel with what connections are subscribed to" do
    serve { |ws| ws.onopen { ws.subscribe(name) && nil } and record(ws, :close) }
    server.call { channel.subscribe { |message| got << message } }
    client = connect
    server.call { nil } until channel.num_subscribers == 2
    channel << "pushed"
    EM::WebSocket.publish(name, "published")

    expect([client.read_text, client.read_text]).to eq(%w[pushed published])
    expect([got.pop, got.pop]).to eq(%w[pushed published])
    client.close
    next_event(:close)
    expect(channel.push("to the block")).to eq(1)
  end

  it "loses nothing where a block raises" do
    reactor = run_reactor { nil }
    channel.subscribe { |message| got << message and (raise "no" if message == "a") }
    channel.subscribe { |message| got << "other #{message}" }
    expect { reactor.call { channel.push("a") } }.to raise_error("no")
    reactor.call { channel.push("b") }

    expect(Array.new(4) { got.pop }).to contain_exactly("a", "other a", "b", "other b")
  end

  it "keeps what is pushed before there is a reactor, as EM::Channel does" do
    channel.subscribe { |message| got << message }
    channel << "early"
    expect(got).to be_empty
    run_reactor { nil }

    expect(got.pop).to eq("early")
  end

  it "does not call a block that was unsubscribed before its turn came" do
    reactor = run_reactor { nil }
    id = channel.subscribe { got << :called }
    reactor.call do
      Thread.new { channel << "x" }.join
      channel.unsubscribe(id)
      EM.next_tick { got << :next }
    end
    expect(got.pop).to eq(:next)
  end

  it "refuses what is no name, and passes over what is no subscription of its own" do
    [nil, :a, "", "x" * 256, "\xFF"].each do |odd|
      expect { EM::WebSocket::Channel.new(odd) }.to raise_error(ArgumentError)
    end
    other = EM::WebSocket::Channel.new("#{name}:other")
    id = channel.subscribe { |message| got << message }
    [other.unsubscribe(id), channel.unsubscribe(nil), channel.unsubscribe(:a)].each do |result|
      expect(result).to be_nil
    end
    expect(channel.num_subscribers).to eq(1)
    expect { channel << nil }.to raise_error(NoMethodError)
    expect { channel << "\xFF" }.to raise_error(EM::WebSocket::WebSocketError)
    expect(channel.push).to be_nil
  end
end
