# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "where a block raises" do
  let(:boom) { ArgumentError.new("boom") }

  # A server whose block of this name raises.
  def serve_raising(name, onerror:)
    serve do |ws|
      record(ws, *(onerror ? %i[open close error] : %i[open close]))
      ws.public_send(:"on#{name}") do |*|
        note(name, nil, ws)
        raise boom
      end
    end
  end

  # Makes the client do what calls this block.
  def provoke(client, name)
    case name
    when :message then client.text("x")
    when :close then client.close(1000)
    when :binary, :ping, :pong then client.public_send(name, "x")
    end
  end

  def skip_to(name)
    event = next_event until event&.name == name
    event
  end

  %i[open message binary ping pong].each do |name|
    context "on#{name}" do
      it "closes with 3000 and tells onerror" do
        serve_raising(name, onerror: true)
        client = connect
        provoke(client, name)
        expect(client.read(:pong)).to eq("x") if name == :ping

        expect(client.read(:close)).to eq("\x0B\xB8Application error".b)
        expect(skip_to(:error)).to have_attributes(
          value: boom, state: :closing, thread: server.thread
        )
        client.close(3000)
        expect(client).to be_eof
        expect(next_event(:close).value).to eq(code: 3000, reason: "", was_clean: true)
      end

      it "lets the exception leave EM.run without onerror" do
        serve_raising(name, onerror: false)
        client = connect
        provoke(client, name)

        expect { server.reactor.join }.to raise_error(boom)
        expect(skip_to(:close)).to have_attributes(
          value: { code: 1006, was_clean: false }, state: :closed, reactor_running: true
        )
        client.read_to_end
      end
    end
  end

  Drafts::ALL.each do |draft|
    it "closes as #{draft} can" do
      serve_raising(:message, onerror: true)
      client = connect(draft)
      client.text("x")

      if draft.close == :tcp
        expect(client).to be_eof
      else
        expect(client.read(:close)).to eq(draft.close_body(3000, "Application error"))
      end
      expect(skip_to(:error)).to have_attributes(
        value: boom, state: draft.close == :tcp ? :connected : :closing
      )
    end
  end

  it "waits only close_timeout for the answer" do
    serve(close_timeout: 0.05) do |ws|
      record(ws)
      ws.onmessage { raise boom }
    end
    client = connect
    open_connection
    client.text("x")
    client.read(:close)

    expect(client).to be_eof
    expect([next_event(:error).value, next_event(:error).value.class, next_event(:close).value])
      .to eq([boom, EM::WebSocket::WSProtocolError, { code: 1006, was_clean: false }])
  end

  it "tells onerror of onclose's exception, and closes once" do
    serve_raising(:close, onerror: true)
    client = connect
    open_connection
    client.disconnect

    expect([next_event(:close).state, next_event(:error).value]).to eq([:closed, boom])
    expect(events).to be_empty
  end

  it "lets onclose's exception leave EM.run without onerror" do
    serve_raising(:close, onerror: false)
    client = connect
    open_connection
    client.close

    expect { server.reactor.join }.to raise_error(boom)
    expect(event_names).to eq([:close])
  end

  it "lets onerror's own exception leave EM.run" do
    serve { |ws| ws.onerror { raise boom } }
    connect.text("\xFF")

    expect { server.reactor.join }.to raise_error(boom)
  end

  it "lets the accept block's exception leave EM.run" do
    serve do |ws|
      record(ws)
      raise boom
    end
    dial

    expect { server.reactor.join }.to raise_error(boom)
    expect(events).to be_empty
  end

  it "ends the connection whose accept block raised", :fixed do
    serve { raise boom }
    client = dial

    expect(client).to be_eof
    expect { server.reactor.join }.to raise_error(boom)
  end

  it "closes every other connection when an exception leaves EM.run" do
    serve do |ws|
      record(ws)
      ws.remove_instance_variable(:@onerror)
      ws.onmessage { raise boom }
    end
    clients = Array.new(3) { connect.tap { open_connection } }
    clients.first.text("x")

    expect { server.reactor.join }.to raise_error(boom)
    expect(events.drain.map { |event| [event.name, event.value, event.thread] })
      .to eq([[:close, { code: 1006, was_clean: false }, server.thread]] * 3)
    expect(clients.drop(1)).to all(be_eof)
  end

  describe "with EM.error_handler" do
    before { EM.error_handler { |error| note(:error_handler, error) } }
    after do
      release
      EM.error_handler(nil)
    end

    %i[open message ping].each do |name|
      it "goes on after on#{name}" do
        serve_raising(name, onerror: false)
        client = connect
        provoke(client, name)

        expect(skip_to(:error_handler)).to have_attributes(value: boom, thread: server.thread)
        client.read(:pong) if name == :ping
        expect(client.read(:close)).to eq("\x0B\xB8Application error".b)
        client.close(3000)
        expect(client).to be_eof
        expect(next_event(:close).value).to eq(code: 3000, reason: "", was_clean: true)
        expect(connect.response[:status]).to start_with("HTTP/1.1 101")
      end
    end

    it "goes on after onclose" do
      serve_raising(:close, onerror: false)
      connect.close

      expect(skip_to(:error_handler).value).to eq(boom)
      expect(connect.response[:status]).to start_with("HTTP/1.1 101")
    end

    it "leaves what other connections received" do
      serve do |ws|
        ws.onmessage { |text| text == "raise" ? raise(boom) : ws.send(text) }
      end
      clients = Array.new(5) { connect }
      server.call do
        clients.each_with_index { |client, index| client.text(index.even? ? "raise" : "echo") }
      end

      expect(clients.values_at(1, 3).map(&:read_text)).to eq(%w[echo echo])
      expect(clients.values_at(0, 2, 4).map { |client| client.read_frame.type }).to eq([:close] * 3)
    end

    it "is not asked where onerror is there" do
      serve_raising(:message, onerror: true)
      client = connect
      client.text("x")
      client.read(:close)

      expect(Array.new(3) { next_event.name }).to eq(%i[open message error])
    end
  end

  it "sends what onerror sends, after the close frame" do
    serve do |ws|
      ws.onmessage { raise boom }
      ws.onerror { |error| ws.send_data(error.message) }
    end
    client = connect
    client.text("x")
    client.read(:close)
    client.close

    expect(client.read_to_end).to eq("boom")
  end

  it "sends what onerror sends before a failed connection ends", upstream: "0.5.1 does not" do
    serve { |ws| ws.onerror { |error| ws.send_data(error.message) } }
    client = connect
    client.text("\xFF")
    client.read(:close)

    expect(client.read_to_end).to eq("Invalid UTF8 data")
  end

  # An exception that leaves a block, and one that leaves Ruby's own allocation in the midst of a
  # drain: the process is as whole as before.
  it "serves on where there was no memory for a message's String", :fixed do
    { "text" => 1, "binary" => 2 }.each do |kind, opcode|
      said = run_apart(<<~RUBY)
        #{Apart::CLIENT}
        size = 60_000_000
        EM::WebSocket.max_frame_size = 2 * size
        limit = Process.getrlimit(:AS)
        serve = lambda do |on_message|
          signature = EM::WebSocket.run(host: "127.0.0.1", port: 0) do |ws|
            ws.onmessage(&on_message)
            ws.onbinary(&on_message)
          end
          Socket.unpack_sockaddr_in(EM.get_sockname(signature)).first
        end
        begin
          EM.run do
            port = serve.call(lambda do |_small|
              deadline = Time.now + 5
              # The core has its memory for the large one by then, and Ruby gets none.
              sleep 0.01 until EM::WebSocket.stats[:bytes_waiting] >= size || Time.now > deadline
              used = Integer(File.read("/proc/self/statm")[/\\d+/]) * 4096
              Process.setrlimit(:AS, used + size / 2, limit.last)
            end)
            fork do
              socket = client(port)
              socket.write(frame(1, "small"))
              socket.write(frame(#{opcode}, "x" * size))
              socket.read
            rescue SystemCallError
              exit!
            end
            EM.add_timer(8) { EM.stop }
          end
        rescue NoMemoryError => e
          Process.setrlimit(:AS, limit.last, limit.last)
          puts e.class
        end
        EM.run do
          port = serve.call(->(text) { puts(text).then { EM.stop } })
          Thread.new { client(port).write(frame(1, "served")).then { sleep } }
          EM.add_timer(5) { EM.stop }
        end
      RUBY

      expect("#{kind}: #{said}").to eq("#{kind}: NoMemoryError\nserved\n")
    end
  end

  it "knows its classes" do
    websocket = EM::WebSocket

    expect(websocket::WebSocketError.superclass).to be(RuntimeError)
    expect([websocket::HandshakeError, websocket::WSProtocolError].map(&:superclass))
      .to eq([websocket::WebSocketError] * 2)
    expect([websocket::InvalidDataError, websocket::WSMessageTooBigError].map(&:superclass))
      .to eq([websocket::WSProtocolError] * 2)
    expect(websocket::WSProtocolError.new.code).to eq(1002)
    expect(websocket::InvalidDataError.new.code).to eq(1007)
    expect(websocket::WSMessageTooBigError.new.code).to eq(1009)
  end
end
