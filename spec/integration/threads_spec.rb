# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket::Connection, "from other threads" do
  let!(:ws) do
    serve
    @client = connect
    open_connection
  end
  let(:client) { @client }

  def in_thread(&block) = Thread.new(&block).value

  it "sends text, bytes, pings and pongs in order" do
    answers = in_thread do
      [ws.send(+"a"), ws.send_binary("b"), ws.ping("c"), ws.pong("d"), ws.send_text(+"e")]
    end

    expect(answers).to eq([nil, 3, true, true, nil])
    expect(Array.new(5) { client.read_frame }.map { |frame| [frame.type, frame.payload] })
      .to eq([[:text, "a"], [:binary, "b"], [:ping, "c"], [:pong, "d"], [:text, "e"]])
  end

  it "closes after what was sent" do
    in_thread { [ws.send(+"last"), ws.close(4000, "bye")] }

    expect([client.read_text, client.read(:close)]).to eq(["last", "\x0F\xA0bye".b])
    client.close(4000)
    expect(next_event(:close).value).to eq(code: 4000, reason: "", was_clean: true)
  end

  it "keeps the order of a thread's sends and the reactor's" do
    in_thread { ws.send(+"thread 1") }
    server.call { ws.send(+"reactor 1") }
    in_thread { ws.send(+"thread 2") }
    server.call { ws.send(+"reactor 2") }

    expect(Array.new(4) { client.read_text })
      .to eq(["thread 1", "reactor 1", "thread 2", "reactor 2"])
  end

  it "keeps every thread's own order where several send at once" do
    threads = Array.new(4) do |thread|
      Thread.new { 100.times { |number| ws.send("#{thread} #{number}") } }
    end
    received = Array.new(400) { client.read_text.split.map(&:to_i) }
    threads.each(&:join)

    expect(received.group_by(&:first).transform_values { |all| all.map(&:last) })
      .to eq((0..3).to_h { |thread| [thread, (0...100).to_a] })
  end

  it "writes a message while the reactor's thread is busy", :fixed do
    free = Mailbox.new
    EM.next_tick { free.pop }
    in_thread { ws.send("now") }
    text = client.read_text
    free << true

    expect(text).to eq("now")
  end

  it "writes a message before the reactor's next round", :fixed do
    took = Array.new(5) do
      start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      in_thread { ws.send("quick") }
      client.read_text
      Process.clock_gettime(Process::CLOCK_MONOTONIC) - start
    end

    expect(took.min).to be < 0.04
  end

  it "raises the caller's own errors in the caller's thread" do
    raised = in_thread do
      ws.send("\xFF".b)
    rescue EM::WebSocket::WebSocketError => e
      e
    end

    expect(raised.message).to include("must be valid UTF-8")
  end

  it "answers state, pingable?, supports_close_codes? and signature" do
    expect(in_thread { [ws.state, ws.pingable?, ws.supports_close_codes?, ws.signature] })
      .to eq([:connected, true, true, ws.signature])
  end

  it "does nothing once the connection has ended" do
    client.disconnect
    next_event(:close)

    expect(in_thread { [ws.send(+"x"), ws.send_text(+"y"), ws.state] }).to eq([nil, nil, :closed])
  end

  it "sends from EM.schedule, EM.defer, EM::Channel and EM::Queue" do
    channel = EM::Channel.new
    queue = EM::Queue.new
    server.call do
      channel.subscribe { |text| ws.send(text) }
      queue.pop { |text| ws.send(text) }
    end
    in_thread { channel.push(+"channel") }
    expect(client.read_text).to eq("channel")
    in_thread { queue.push(+"queue") }
    expect(client.read_text).to eq("queue")
    in_thread { EM.schedule { ws.send(+"scheduled") } }
    expect(client.read_text).to eq("scheduled")
    server.call { EM.defer(proc { +"deferred" }, proc { |text| ws.send(text) }) }
    expect(client.read_text).to eq("deferred")
  end
end
