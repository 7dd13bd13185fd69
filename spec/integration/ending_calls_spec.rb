# frozen_string_literal: true

# Methods of EventMachine's that end a connection: applications and their specs override, and
# count, these calls.
RSpec.describe EventMachine::WebSocket::Connection, "and the method that ends it" do
  # A connection without a socket, and what is called of it, in order; the size of what is sent
  # does not count.
  def witness(options = {})
    seen = []
    watched = Class.new(described_class) do
      define_method(:send_data) { |data| (seen << :send_data) && data.bytesize }
      define_method(:close_connection) { |after = false| seen << (after ? :after : :now) }
      define_method(:close_connection_after_writing) { seen << :after }
    end
    [watched.new(nil, { close_timeout: 60 }.merge(options)), seen]
  end

  def client(draft) = Class.new(RawClient) { define_method(:initialize) { @draft = draft } }.new

  # The methods that are called once the reactor runs, for which closing sets a timer.
  def called(draft = Drafts::RFC, **request)
    seen = nil
    run_reactor do
      ws, seen = witness
      ws.onerror { |error| seen << error.class }
      yield ws, client(draft), client(draft).request(**request)
    end.stop
    seen
  end

  it "calls close_connection where our close is left unanswered, without a socket" do
    done = Mailbox.new
    seen = nil
    reactor = run_reactor do
      ws, seen = witness(close_timeout: 0.2)
      ws.onerror { |error| done << error.class }
      ws.receive_data(client(Drafts::RFC).request)
      ws.close
    end

    expect(done.pop).to eq(EM::WebSocket::WSProtocolError)
    reactor.stop
    expect(seen).to eq(%i[send_data send_data now])
  end

  errors = EM::WebSocket

  it "calls close_connection where a request is no opening handshake" do
    seen = called(headers: { "Upgrade" => nil }) { |ws, _, request| ws.receive_data(request) }

    expect(seen).to eq([errors::HandshakeError, :now])
  end

  it "calls close_connection where a request is no HTTP" do
    seen = called { |ws, _, _| ws.receive_data("\x00\x01\x02 nonsense\r\n\r\n") }

    expect(seen).to eq([errors::HandshakeError, :now])
  end

  it "calls close_connection_after_writing where a request is refused with an answer", :fixed do
    seen = called(headers: { "Sec-WebSocket-Version" => "99" }) do |ws, _, request|
      ws.receive_data(request)
    end

    expect(seen).to eq([errors::HandshakeError, :send_data, :after])
  end

  it "calls close_connection_after_writing behind Flash's policy file" do
    expect(called { |ws, _, _| ws.receive_data("<policy-file-request/>\0") })
      .to eq(%i[send_data after])
  end

  it "calls close_connection_after_writing behind the healthcheck", upstream: "0.5.1 has none" do
    seen = called { |ws, _, _| ws.receive_data("GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n") }

    expect(seen).to eq(%i[send_data after])
  end

  it "calls close_connection where the application closes before it is open" do
    expect(called { |ws, _, _| ws.close }).to eq(%i[now])
  end

  it "calls close_connection where the application aborts" do
    expect(called { |ws, _, _| ws.__send__(:abort) }).to eq(%i[now])
  end

  it "calls close_connection where dispatch raises before it is open" do
    seen = called do |ws, _, request|
      ws.define_singleton_method(:dispatch) { |_| raise ArgumentError, "no" }
      ws.receive_data(request)
    end

    expect(seen).to eq([:now, ArgumentError])
  end

  Drafts::ALL.each do |draft|
    describe "in #{draft}" do
      # The methods that are called of a connection that is open.
      define_method(:called_open) do |&block|
        called(draft) do |ws, client, request|
          ws.receive_data(request)
          block.call(ws, client)
        end.drop(1)
      end

      it "calls close_connection_after_writing behind the client's close" do
        seen = called_open { |ws, client| ws.receive_data(client.encode_close(1000)) }

        expect(seen).to eq(%i[send_data after])
      end

      next if draft.framing == :sentinel

      it "calls neither method before the client answers our close" do
        expect(called_open { |ws, _| ws.close }).to eq(%i[send_data])
      end

      it "calls close_connection once the client has answered our close" do
        seen = called_open do |ws, client|
          ws.close
          ws.receive_data(client.encode_close(1000))
        end

        expect(seen).to eq(%i[send_data now])
      end

      it "calls close_connection_after_writing behind the close that fails it" do
        seen = called_open do |ws, client|
          ws.receive_data(client.encode(:text, "", opcode: 0xF))
        end

        expect(seen).to eq([:send_data, :after, errors::WSProtocolError]).or(
          eq([:send_data, errors::WSProtocolError, :after])
        )
      end

      it "calls neither method where a callback raises: our close is to be answered" do
        seen = called_open do |ws, client|
          ws.onmessage { raise ArgumentError, "no" }
          ws.receive_data(client.encode(:text, "x"))
        end

        expect(seen).to eq([:send_data, ArgumentError])
      end
    end
  end
end
