# frozen_string_literal: true

require "json"
require "zlib"

RSpec.describe EventMachine::WebSocket, "channels", :extension do
  def start(options = {})
    @connections = []
    serve(options) do |ws|
      echo(ws)
      ws.onopen do
        @connections << ws
        ws.subscribe("room")
        note(:open, nil, ws)
      end
      ws.onmessage { |text| ws.send(text) }
    end
  end

  def clients(count = 2, draft = Drafts::RFC, **options)
    Array.new(count) do
      connect(draft, **options).tap { next_event(:open) }
    end
  end

  def publish(...)
    server.call { described_class.publish(...) }
  end

  # Every channel of a test's own: they outlive it where they keep what is published.
  def name
    @name ||= "kept:#{object_id}:#{Process.clock_gettime(Process::CLOCK_MONOTONIC)}"
  end

  def keep(size: 100, ttl: 60)
    channel = name
    described_class.channels { history(channel, size: size, ttl: ttl) }
  end

  Drafts::ALL.each do |draft|
    it "sends what is published to who is subscribed, in #{draft}" do
      start
      both = clients(2, draft)

      expect(publish("room", "grüße")).to eq(2)
      expect(publish("elsewhere", "nothing")).to eq(0)
      expect(both.map(&:read_text)).to eq(["grüße"] * 2)
    end
  end

  it "passes over the one that is excepted, and who has no binary messages" do
    start
    all = clients(2) + clients(1, Drafts[76])

    expect(publish("room", "\xFF".b, binary: true)).to eq(2)
    expect(publish("room", "but one", except: @connections.first)).to eq(2)
    expect(all[0].read(:binary)).to eq("\xFF".b)
    expect(all[1].read(:binary)).to eq("\xFF".b)
    expect(all.drop(1).map(&:read_text)).to eq(["but one"] * 2)
    expect(all.first).to be_silent
  end

  it "sends what blocks publish and send in their order, in one piece" do
    serve do |ws|
      ws.onopen { ws.subscribe("order") }
      ws.onmessage do |text|
        described_class.publish("order", "published #{text}")
        ws.send("sent #{text}")
      end
    end
    client = connect
    client.write(%w[1 2 3].map { |text| client.encode(:text, text) }.join)

    expect(Array.new(6) { client.read_text })
      .to eq(%w[1 2 3].flat_map { |n| ["published #{n}", "sent #{n}"] })
  end

  it "publishes from any thread to many clients, each thread's messages in order" do
    start
    all = clients(70)
    Array.new(3) do |thread|
      Thread.new { 20.times { |n| described_class.publish("room", "#{thread} #{n}") } }
    end.each(&:join)

    all.each do |client|
      got = Array.new(60) { client.read_text.split.map(&:to_i) }
      expect(got.group_by(&:first).values.map { |each| each.map(&:last) })
        .to eq([[*0...20]] * 3)
    end
  end

  it "compresses for those who have agreed to it, behind what was sent before" do
    start(compression: { threshold: 10 })
    offer = { "Sec-WebSocket-Extensions" => "permessage-deflate" }
    both = clients(1) + clients(1, headers: Drafts::RFC.headers.merge(offer))
    texts = Array.new(6) { |n| "#{n} #{"x" * (n * 500)} and more" }
    server.call do
      texts.each_slice(2) do |own, published|
        @connections.each { |ws| ws.send(own) }
        described_class.publish("room", published)
      end
    end

    inflater = Zlib::Inflate.new(-15)
    tail = "\x00\x00\xFF\xFF".b
    inflated = Array.new(6) { inflater.inflate(both.last.read_frame.payload + tail) }
    expect(inflated).to eq(texts)
    expect(Array.new(6) { both.first.read_text }).to eq(texts)
  end

  it "ends subscriptions one by one, all at once, and with their connection" do
    start
    client, other = clients(2)
    ws = @connections.first
    server.call { %w[a b c].each { |name| ws.subscribe(name) } }
    server.call { ws.subscribe("a") }

    expect(server.call { ws.subscriptions.sort }).to eq(%w[a b c room])
    expect(server.call { [ws.unsubscribe("a"), ws.unsubscribe("none"), ws.subscriptions.sort] })
      .to eq([nil, nil, %w[b c room]])
    expect(server.call { [ws.unsubscribe, ws.subscriptions] }).to eq([nil, []])
    expect(publish("room", "to the other")).to eq(1)
    other.disconnect
    next_event(:close)
    expect(publish("room", "to nobody")).to eq(0)
    client.text("nothing came")
    expect(client.read_text).to eq("nothing came")
  end

  it "has left its channels when onclose is called" do
    counts = Thread::Queue.new
    serve do |ws|
      ws.onopen { ws.subscribe("leaving") }
      ws.onmessage { counts << described_class.publish("leaving", "still there").to_i }
      ws.onclose { counts << described_class.publish("leaving", "bye").to_i }
    end
    connect.tap { |client| client.text("x") }.close

    expect([counts.pop, counts.pop]).to eq([1, 0])
  end

  it "sends who comes back what it has missed, then what follows" do
    keep
    channel = name
    serve { |ws| ws.onmessage { |since| subscribe_since(ws, channel, since) } }
    first = publish(channel, "1")
    publish(channel, "2")
    client = connect
    client.text(first.position)
    publish(channel, "3") if client.read_text == "2"

    expect([client.read_text, client.read_text]).to eq(["recovered: true", "3"])
    expect(first.offset).to eq(1)
    expect(first.epoch).to match(/\A\h+\z/)
  end

  def subscribe_since(ws, channel, since)
    ws.subscribe(channel, since: since) { |recovered| ws.send("recovered: #{recovered}") }
  end

  it "says that what was missed is lost, and sends none of it" do
    keep(size: 2)
    channel = name
    serve { |ws| ws.onmessage { |since| subscribe_since(ws, channel, since) } }
    first, = Array.new(4) { |n| publish(channel, n.to_s) }
    client = connect
    client.text(first.position)

    expect(client.read_text).to eq("recovered: false")
    publish(channel, "then")
    expect(client.read_text).to eq("then")
    expect(described_class.history(channel).map(&:last)).to eq(%w[3 then])
    expect(described_class.history(channel, since: first.position)).to be_nil
  end

  it "answers what is kept, from a position on and no more than is asked for" do
    keep
    published = Array.new(4) { |n| described_class.publish(name, n.to_s) }
    after = described_class.history(name, since: published[1].position)

    expect(after).to eq([[published[2].position, "2"], [published[3].position, "3"]])
    expect(described_class.history(name, limit: 2).map(&:last)).to eq(%w[0 1])
    expect(described_class.history("nobody's")).to eq([])
  end

  it "counts a publication as its receivers" do
    start
    clients(2)
    publication = publish("room", "x")

    expect(publication).to be == 2
    expect(2).to eq(publication)
    expect(publication).to be > 1
    expect([publication.receivers, publication.to_i, publication.to_s]).to eq([2, 2, "2"])
    expect([publication.position, publication.offset, publication.epoch]).to all(be_nil)
  end

  odd = { "a Symbol" => :room, "nil" => nil, "an empty String" => "", "256 bytes" => "x" * 256,
          "a MiB" => "x" * (1 << 20), "bytes" => "\xFF", "a number" => 1 }
  odd.each do |what, name|
    it "refuses #{what} as a name" do
      start
      clients(1)
      ws = @connections.first
      calls = [-> { ws.subscribe(name) }, -> { described_class.publish(name, "x") },
               -> { described_class.history(name) }]
      calls << -> { ws.unsubscribe(name) } unless name.nil?

      server.call do
        calls.each { |call| expect(&call).to raise_error(ArgumentError, /\A(the )?name of/) }
      end
    end
  end

  it "refuses a position that is no String" do
    start
    clients(1)
    ws = @connections.first
    [1, :a, ["1:1"], false].each do |since|
      server.call do
        expect { ws.subscribe("x", since: since) }.to raise_error(ArgumentError, /\Asince: /)
        expect { described_class.history("x", since: since) }
          .to raise_error(ArgumentError, /\Asince: /)
      end
    end
  end

  ["", "1", "x:1", "1:1:1", "\xFF:1", "1:-1", "1" * 100_000].each do |since|
    it "takes #{since[0, 8].inspect} from a client for a position that is lost" do
      keep
      channel = name
      serve { |ws| ws.onopen { subscribe_since(ws, channel, since) } }
      publish(channel, "before")
      client = connect
      expect(client.read_text).to eq("recovered: false")
      publish(channel, "after")
      expect(client.read_text).to eq("after")
      expect(described_class.history(channel, since: since)).to be_nil
    end
  end

  it "refuses rules that cannot be what they are" do
    rules = EM::WebSocket::ChannelRules.new
    [-> { rules.history(:a, size: 1) }, -> { rules.history("a", size: 0) },
     -> { rules.history("a", size: 1, ttl: -1) }, -> { rules.slow("a", keep: :first) },
     -> { rules.slow("a", keep: :drop, size: 0) }].each do |rule|
      expect(&rule).to raise_error(ArgumentError)
    end
  end

  it "says how many are subscribed to each channel of a pattern, connections and blocks" do
    keep
    start
    clients(2)
    one, two = @connections
    server.call { [one, two].each { |ws| ws.subscribe("#{name}:a") } && two.subscribe("#{name}:b") }
    id = EM::WebSocket::Channel.new("#{name}:b").subscribe { nil }
    # Kept, and nobody is there.
    described_class.publish(name, "x")

    expect(described_class.num_subscribers("#{name}*"))
      .to eq("#{name}:a" => 2, "#{name}:b" => 2)
    expect(described_class.num_subscribers).to include("#{name}:a" => 2)
    server.call { two.unsubscribe }
    EM::WebSocket::Channel.new("#{name}:b").unsubscribe(id)
    expect(described_class.num_subscribers("#{name}:*")).to eq("#{name}:a" => 1)
    [nil, :a, 1].each do |wrong|
      expect { described_class.num_subscribers(wrong) }.to raise_error(ArgumentError, /pattern/)
    end
  end

  it "publishes to nobody where no reactor runs, before one and after" do
    expect(described_class.publish("room", "x")).to eq(0)
    start
    clients(1)
    server.stop
    expect(described_class.publish("room", "x")).to eq(0)
  end

  it "keeps what is published where no reactor runs, before one and after" do
    keep
    channel = name
    before = described_class.publish(channel, "before")
    serve { |ws| ws.onopen { subscribe_since(ws, channel, before.position) } }
    client = connect
    expect(client.read_text).to eq("recovered: true")
    publish(channel, "while")
    expect(client.read_text).to eq("while")
    server.stop
    expect(described_class.publish(channel, "after")).to eq(0)
    expect(described_class.history(channel).map(&:last)).to eq(%w[before while after])
    expect(described_class.history(channel, since: before.position).map(&:last))
      .to eq(%w[while after])
  end

  it "raises before onopen, and does nothing once the connection is gone" do
    outcomes = Thread::Queue.new
    serve do |ws|
      begin
        ws.subscribe("early")
      rescue EM::WebSocket::WebSocketError => e
        outcomes << e.message
      end
      ws.onclose { outcomes << [ws.subscribe("late"), ws.subscriptions, ws.unsubscribe] }
    end
    connect.close

    expect(outcomes.pop).to eq("Cannot subscribe before onopen callback")
    expect(outcomes.pop).to eq([nil, [], nil])
  end

  it "refuses one connection more than its share" do
    start
    clients(1)
    ws = @connections.first
    error = server.call do
      1_001.times { |n| ws.subscribe("many #{n}") }
    rescue StandardError => e
      e
    end

    expect(error).to be_a(EM::WebSocket::SubscriptionLimitError)
    expect(server.call { ws.subscriptions.size }).to eq(1_000)
  end

  it "lets an application's own methods of these names win" do
    called = Thread::Queue.new
    serve do |ws|
      %i[subscribe unsubscribe subscriptions].each do |name|
        ws.define_singleton_method(name) { |*| called << name }
      end
      ws.onopen { ws.send("open") }
    end
    client = connect
    expect(client.read_text).to eq("open")
    client.disconnect
    server.stop
    expect(called).to be_empty
  end

  describe "envelopes" do
    def wrap(template, size: 100)
      channel = name
      described_class.channels { history(channel, size: size, envelope: template) }
    end

    def positions_of(client, count)
      Array.new(count) { JSON.parse(client.read_text).values_at("at", "text") }
    end

    it "sends each message with its position, live and again" do
      wrap('{"at":"%{position}","text":%{message}}')
      channel = name
      serve { |ws| ws.onmessage { |since| ws.subscribe(channel, since: since) } }
      first = publish(channel, "1")
      texts = ["2", "\"\\\n\u0001ü😀\u2028</script>", ""]
      expected = texts.map { |text| [publish(channel, text).position, text] }
      client = connect
      client.text(first.position)
      expect(positions_of(client, 3)).to eq(expected)
      live = publish(channel, "live").position
      expect(positions_of(client, 1)).to eq([[live, "live"]])
      expect(described_class.history(channel, since: first.position).map(&:last))
        .to eq(texts << "live")
    end

    it "has a default, and gives blocks what was published" do
      wrap(true)
      start
      EM::WebSocket::Channel.new(name).subscribe { |message| note(:message, message) }
      channel = name
      client = connect
      ws = (next_event(:open) and @connections.first)
      server.call { ws.subscribe(channel) }
      position = publish(channel, "a \"b\"").position

      expect(JSON.parse(client.read_text))
        .to eq("channel" => channel, "position" => position, "message" => "a \"b\"")
      expect(next_event(:message).value).to eq("a \"b\"")
    end

    it "takes binary messages only where they stand as they are" do
      wrap("%{offset}:%{raw}")
      channel = name
      serve { |ws| ws.onopen { ws.subscribe(channel) && note(:open) } }
      client = connect
      next_event(:open)
      publish(channel, "\xFF".b, binary: true)
      expect(client.read(:binary)).to eq("1:\xFF".b)
      wrap("%{message}")
      expect { publish(channel, "x".b, binary: true) }
        .to raise_error(EM::WebSocket::WebSocketError, /no place in the envelope/)
      expect(publish(channel, "x").offset).to eq(2)
      expect(client.read_text).to eq('"x"')
    end

    it "refuses what is no template" do
      rules = EM::WebSocket::ChannelRules.new
      ["", "%{position}", "%{message", "%{massage}", "%{message}\xFF", 1, :a].each do |template|
        expect { rules.history("a", size: 1, envelope: template) }
          .to raise_error(ArgumentError, /\Aenvelope: /)
      end
    end
  end
end
