# frozen_string_literal: true

# Bounds of a client's time, and of a server's memory. The core's own tests go into the corners.
RSpec.describe EventMachine::WebSocket, "with bounds", :extension do
  abnormal = { code: 1006, was_clean: false }

  # Sends until more waits than the high water, whatever the system takes; how many messages.
  def fill(ws, payload)
    (1..).find do
      ws.send(payload)
      ws.buffered_amount > ws.outbound_high_water
    end
  end

  ways = { "in the background" => {}, "on EventMachine's own sockets" => { attached: true } }
  ways.each do |way, metadata|
    describe(way, **metadata) do
      it "ends an opening handshake that takes longer than :handshake_timeout" do
        serve(handshake_timeout: 0.2)
        silent = dial
        slow = dial
        slow.write("GET / HTTP/1.1\r\nHost:")

        expect([silent, slow].map(&:read_response)).to eq([nil, nil])
        errors = Array.new(2) { next_event(:error).value }
        expect(errors.map { |error| [error.class, error.message] })
          .to eq([[EM::WebSocket::HandshakeError, "Opening handshake timed out"]] * 2)
        expect(events).to be_empty
      end

      it "ends one that takes longer where receive_data is the application's" do
        serve(handshake_timeout: 0.2) do |ws|
          record(ws)
          ws.define_singleton_method(:receive_data) { |data| super(data) }
        end

        expect(dial.read_response).to be_nil
        expect(next_event(:error).value.message).to eq("Opening handshake timed out")
      end

      it "leaves a connection that is open alone after :handshake_timeout" do
        serve(handshake_timeout: 0.2)
        client = connect
        sleep 0.3
        client.text("still here")

        expect(client.read_text).to eq("still here")
      end

      it "ends one that onrequest defers for longer than :handshake_timeout" do
        serve(handshake_timeout: 0.2) do |ws|
          record(ws)
          ws.onrequest { |_, response| response.defer || note(:request, response) }
        end
        client = dial
        client.write(client.request)

        expect(client.read_response).to be_nil
        response = next_event(:request).value
        expect(next_event(:error).value.message).to eq("Opening handshake timed out")
        expect(response.accept).to be_nil
        expect(events).to be_empty
      end

      it "refuses a header over :max_header_size or :max_headers" do
        serve(max_header_size: 300, max_headers: 8)
        long = connect(headers: Drafts::RFC.headers.merge("X" => "y" * 300))
        many = connect(headers: Drafts::RFC.headers.merge("X" => %w[a b c d e f]))

        expect([long, many].map { |client| client.response[:status] })
          .to eq(["HTTP/1.1 431 Request Header Fields Too Large"] * 2)
        expect(connect.response[:status]).to include("101")
      end

      it "ends a connection whose client answers no ping" do
        serve(ping_interval: 0.1, ping_timeout: 0.1)
        client = connect

        expect(client.read(:ping)).to start_with("keepalive ")
        next_event(:open)
        expect(next_event(:close).value).to eq(abnormal)
      end

      it "keeps a connection whose client answers, and keeps the pongs to itself" do
        serve(ping_interval: 0.05, ping_timeout: 4)
        client = connect
        5.times { client.pong(client.read(:ping)) }
        client.pong("my own")
        client.text("hello")
        # More pings may come before it.
        frame = client.read_frame
        frame = client.read_frame while frame.type == :ping

        expect(frame.payload).to eq("hello")
        expect(Array.new(3) { next_event }.map { |event| [event.name, event.value] }.drop(1))
          .to eq([[:pong, "my own"], [:message, "hello"]])
      end

      it "tells every pong that answers no ping of its own" do
        serve(ping_interval: 0.05, ping_timeout: 4)
        client = connect
        ours = client.read(:ping)
        2.times { client.pong(ours) }
        client.pong("keepalive")

        expect(Array.new(3) { next_event }.map { |event| [event.name, event.value] }.drop(1))
          .to eq([[:pong, ours], [:pong, "keepalive"]])
      end

      it "closes a connection without messages with 1001" do
        serve(idle_timeout: 0.4)
        client = connect
        4.times do
          client.text("busy")
          client.read_text
          sleep 0.15
        end

        expect(client.read(:close)[0, 2]).to eq([1001].pack("n"))
        client.close(1001)
        5.times { next_event }
        expect(next_event(:close).value).to include(code: 1001, was_clean: true)
      end

      it "tells ondrain once enough is written" do
        payload = "x" * 1_000_000
        serve do |ws|
          record(ws)
          ws.outbound_high_water = 3_000_000
          ws.ondrain { note(:drain, ws.buffered_amount) }
          ws.onopen { note(:sent, fill(ws, payload)) }
        end
        client = connect
        sent = next_event(:sent).value
        expect(events).to be_empty
        sent.times { client.read_text }

        expect(next_event(:drain).value).to be <= 1_500_000
        expect(events).to be_empty
      end

      it "treats ondrain's exceptions as any callback's" do
        serve do |ws|
          record(ws)
          ws.ondrain { raise "no" }
          ws.onopen { note(:sent, fill(ws, "x" * 1_000_000)) }
        end
        client = connect
        next_event(:sent).value.times { client.read_text }

        expect(client.read(:close)[0, 2]).to eq([3000].pack("n"))
        expect(next_event(:error).value.message).to eq("no")
      end
    end
  end

  it "turns one connection too many away with 503" do
    serve(max_connections: 2)
    two = [connect, connect]
    third = connect

    expect(third.response[:status]).to eq("HTTP/1.1 503 Service Unavailable")
    expect(third.read_to_end).to eq("Too many connections")
    two.first.disconnect
    3.times { next_event }
    deadline = Time.now + 5
    status = connect.response&.fetch(:status) until status&.include?("101") || Time.now > deadline
    expect(status).to include("101")
  end

  it "ends one connection too many without an answer over TLS" do
    serve(max_connections: 1, secure: true, tls_options: Certificate.tls_options)
    connect(tls: true)

    expect(dial.read_to_end).to eq("")
  end

  it "aborts a client that takes nothing for :write_timeout" do
    serve(write_timeout: 0.3) { |ws| record(ws) }
    client = connect
    ws = open_connection
    server.call { 20.times { ws.send("x" * 1_000_000) } }

    expect(next_event(:close).value).to eq(abnormal)
    expect(EM::WebSocket.stats).to include(write_timeouts: 1)
    client.disconnect
  end

  seconds = "give 0 or more, such as 30 or 0.5"
  [
    [{ handshake_timeout: -1 }, "handshake_timeout: -1 is no number of seconds: #{seconds}"],
    [{ ping_interval: Float::NAN }, "ping_interval: NaN is no number of seconds: #{seconds}"],
    [{ max_connections: -1 },
     "max_connections: -1 is negative: give 1 or more, or 0 for the default"],
    [{ read_size: 4095 }, "read_size: 4095 is not 4096 to 524288"],
    [{ read_size: 524_289 }, "read_size: 524289 is not 4096 to 524288"],
    [{ read_size: -1 }, "read_size: -1 is negative: give 4096 or more, or 0 for the default"]
  ].each do |options, message|
    it "says at the start that there is no #{options}" do
      wrong = { host: "127.0.0.1", port: 0 }.merge(options)
      run_reactor do
        expect { EM::WebSocket.run(wrong) {} }.to raise_error(ArgumentError, message)
      end
    end
  end
end

RSpec.describe EventMachine::WebSocket, "with knobs", :extension do
  it "has as many threads as :threads says, and shares them between servers" do
    serve(threads: 3)
    before = Dir.children("/proc/self/task").size
    serve(threads: 3)
    expect(Dir.children("/proc/self/task").size).to be <= before + 1 # its reactor's
    clients = Array.new(20) { connect }
    clients.each { |client| 20.times { |n| client.text(n.to_s) } }

    expect(clients.map { |client| Array.new(20) { client.read_text } })
      .to all(eq((0...20).map(&:to_s)))
  end

  it "lets timers have their turn after each :drain_batch" do
    serve(drain_batch: 10) do |ws|
      ws.onopen { EM.add_timer(0) { note(:timer) } }
      ws.onmessage { |text| note(:message, text) }
    end
    client = dial
    server.call do
      client.write(client.request + (client.encode(:text, "x") * 100))
      sleep 0.1
    end

    names = Array.new(101) { next_event.name }
    expect(names.index(:timer)).to be < 100
  end

  # A hook is given what one read has brought.
  def sizes_of_reads(options)
    example = self
    serve(options) do |ws|
      ws.define_singleton_method(:receive_data) do |data|
        example.note(:read, data.bytesize)
        super(data)
      end
      ws.onmessage { |text| note(:message, text) }
    end
    connect.text("x" * 50_000)
    sizes = []
    sizes << next_event.value until sizes.last.is_a?(String)
    sizes[0...-1]
  end

  it "reads at most :read_size at a time" do
    expect(sizes_of_reads(read_size: 4096).max).to eq(4096)
    expect(sizes_of_reads({}).max).to be > 4096
  end

  [{}, { secure: true }].each do |options|
    it "takes a large message whole with the least :read_size, #{options}" do
      tls_options = options.empty? ? {} : Certificate.tls_options
      serve(read_size: 4096, tls_options: tls_options, **options)
      client = connect(tls: !options.empty?)
      text = Array.new(200_000, &:to_s).join
      client.text(text)

      expect(client.read_text == text).to be(true)
    end
  end

  it "leaves Nagle's algorithm on where :tcp_nodelay is false" do
    serve(tcp_nodelay: false)
    client = connect
    client.text("hello")

    expect(client.read_text).to eq("hello")
  end
end
