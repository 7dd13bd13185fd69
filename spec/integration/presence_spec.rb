# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "presence", :extension do
  let(:room) { "presence:#{object_id}:#{Process.clock_gettime(Process::CLOCK_MONOTONIC)}" }

  def presence
    described_class.presence(room)
  end

  # A server whose connections join as the id that they send, and what its blocks are told.
  def start(transport = :background, grace: 15)
    channel = room
    box = @told
    described_class.channels do
      onjoin(channel) { |*told| box << [:join, *told, EM.reactor_thread?] }
      onleave(channel) { |*told| box << [:leave, *told, EM.reactor_thread?] }
    end
    serve_by(transport) do |ws|
      ws.onopen { note(:open) }
      ws.onmessage do |id|
        ws.send(ws.join(channel, id: id, info: { name: id.upcase }, grace: grace).to_s)
        (@connections ||= {})[id] = ws
      end
      ws.onclose { note(:close) }
    end
  end

  before { @told = Mailbox.new }

  def join(id)
    client = connect
    next_event(:open)
    client.text(id)
    @answer = client.read_text
    client
  end

  def told
    @told.pop
  end

  def event(kind, id)
    [kind, room, id, { name: id.upcase }, true]
  end

  it "tells of another info of an id that is there, in the order of comings and goings" do
    start
    channel = room
    box = @told
    described_class.channels { onupdate(channel) { |*told| box << [:update, *told] } }
    join("ann")
    info = { name: "Ann" }
    server.call { @connections["ann"].join(channel, id: "ann", info: info) }
    server.call { @connections["ann"].join(channel, id: "ann", info: info) }
    info[:name] = "Anna"
    expect(presence).to eq("ann" => { name: "Ann" })
    server.call { @connections["ann"].join(channel, id: "ann", info: info) }
    # Another one of hers.
    join("ann")
    server.call { @connections["ann"].join(channel, id: "bob") }

    expect(Array.new(4) { told })
      .to eq([event(:join, "ann"), *%w[Ann Anna ANN].map do |name|
        [:update, room, "ann", { name: name }]
      end])
    expect(told).to eq([:join, room, "bob", {}, true])
    expect(@told).to be_empty
  end

  Transports::ALL.each do |transport, how|
    context "with connections #{how}" do
      it "shows each id once, from its first connection to its last" do
        start(transport, grace: 0)
        join("ann")
        both = [join("bob"), join("bob")]
        expect(@answer).to eq("false")
        expect(presence).to eq("ann" => { name: "ANN" }, "bob" => { name: "BOB" })
        expect([told, told]).to eq([event(:join, "ann"), event(:join, "bob")])

        both.each(&:disconnect)
        2.times { next_event(:close) }
        expect(told).to eq(event(:leave, "bob"))
        expect(presence.keys).to eq(["ann"])
        expect(@told).to be_empty
      end

      it "does not notice a connection that comes back within its time of grace" do
        start(transport)
        join("ann").disconnect
        next_event(:close)
        expect(presence.keys).to eq(["ann"])
        join("ann")
        expect([@answer, told]).to eq(["false", event(:join, "ann")])
        server.call { @connections["ann"].leave(room) }
        expect(told).to eq(event(:leave, "ann"))
        expect(presence).to eq({})
      end

      it "lets go of an id whose time of grace is over" do
        start(transport, grace: 0.05)
        clients = %w[ann bob].map { |id| join(id) }
        2.times { told }
        clients.each(&:disconnect)
        expect([told, told]).to contain_exactly(event(:leave, "ann"), event(:leave, "bob"))
        expect(presence).to eq({})
      end

      it "raises before onopen, refuses what is nobody, and does nothing once it is gone" do
        outcomes = Thread::Queue.new
        channel = room
        serve_by(transport) do |ws|
          outcomes << refusal { ws.join(channel, id: 1) }
          ws.onopen do
            [{ id: nil }, { id: 1, info: nil }, { id: 1, grace: -1 }, { id: 1, grace: "1" }]
              .each { |odd| outcomes << refusal { ws.join(channel, **odd) } }
            ["", nil, "x" * (1 << 20), "\xFF"].each do |odd|
              outcomes << refusal { ws.join(odd, id: 1) }
              outcomes << refusal { ws.leave(odd) }
            end
          end
          ws.onclose { outcomes << [ws.join(channel, id: 1), ws.leave(channel)] }
        end
        connect.close

        expect(outcomes.pop).to be_an_instance_of(EM::WebSocket::WebSocketError)
        12.times { expect(outcomes.pop).to be_a(ArgumentError) }
        expect(outcomes.pop).to eq([nil, nil])
        expect(presence).to eq({})
      end
    end
  end

  def refusal
    yield
    nil
  rescue StandardError => e
    e
  end

  it "calls a block with the members on the reactor's thread" do
    start
    join("ann")
    result = described_class.presence(room) { |members| note(:members, members) }
    event = next_event(:members)

    expect([result, event.thread]).to eq([nil, server.thread])
    expect(event.value).to eq("ann" => { name: "ANN" })
    event.value.clear
    expect(presence.size).to eq(1)
  end

  it "takes an info of its last connection, and another id in place of the former" do
    start
    join("ann")
    ws = @connections["ann"]
    told
    expect(server.call { ws.join(room, id: "ann", info: { name: "A." }) }).to be(false)
    expect(presence).to eq("ann" => { name: "A." })
    expect(server.call { ws.join(room, id: 7) }).to be(true)
    expect(presence).to eq(7 => {})
    expect([told, told]).to eq([[:leave, room, "ann", { name: "A." }, true],
                                [:join, room, 7, {}, true]])
  end

  it "tells the other blocks where one raises" do
    start(grace: 0)
    channel = room
    box = @told
    described_class.channels do
      onleave(channel) { |*, id, _| (box << id) && raise("no") if id == "ann" }
      onleave("#{channel}:*") { |_, id, _| box << id }
    end
    join("ann")
    ws = @connections["ann"]
    told
    expect { server.call { ws.leave(room) } }.to raise_error("no")
    server.call { ws.join("#{room}:2", id: "bob", grace: 0) && ws.leave("#{room}:2") }
    expect([told, told]).to eq(%w[ann bob])
  end

  it "joins and leaves from many threads, and agrees with itself afterwards" do
    start
    join("ann")
    ws = @connections["ann"]
    told
    Array.new(4) do |thread|
      Thread.new { 50.times { |n| ws.join("#{room}:#{thread}", id: n, grace: 0) } }
    end.each(&:join)

    expect(Array.new(4) { |thread| described_class.presence("#{room}:#{thread}") })
      .to eq([{ 49 => {} }] * 4)
  end

  it "refuses rules that cannot be what they are" do
    rules = EM::WebSocket::ChannelRules.new
    [-> { rules.onjoin("a") }, -> { rules.onleave(:a) { nil } }].each do |rule|
      expect(&rule).to raise_error(ArgumentError)
    end
  end

  it "refuses one connection more channels than its share" do
    start
    join("ann")
    ws = @connections["ann"]
    error = server.call { refusal { 1_001.times { |n| ws.join("#{room} #{n}", id: 1, grace: 0) } } }
    expect(error).to be_a(EM::WebSocket::SubscriptionLimitError)
  end
end
