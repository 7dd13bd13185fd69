# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket::Connection do
  it "is one EM::Connection from the accept block to the end" do
    serve do |ws|
      note(:accept, ws)
      ws.onopen { note(:open, ws) }
      ws.onclose { note(:close, ws) }
    end
    connect.close
    seen = %i[accept open close].map { |name| next_event(name).value }

    expect(seen.uniq(&:object_id).size).to eq(1)
    expect(seen.first).to be_a(EM::Connection).and be_instance_of(described_class)
  end

  it "has a signature of its own" do
    serve
    2.times { connect }
    signatures = Array.new(2) { open_connection.signature }

    expect(signatures).to all(be_an(Integer))
    expect(signatures.uniq.size).to eq(2)
  end

  it "keeps an application's instance variables and singleton methods" do
    serve do |ws|
      ws.instance_variable_set(:@user, "anna")
      ws.define_singleton_method(:user) { @user }
      record(ws)
    end
    connect
    ws = open_connection

    expect([ws.user, { ws => 1 }[ws]]).to eq(["anna", 1])
  end

  it "keeps its options, unknown ones too" do
    options = { close_timeout: 3, app_key: "k", "string" => 1 }
    serve(options) { |ws| record(ws) }
    connect
    ws = open_connection

    expect(ws.instance_variable_get(:@options)).to include(options)
    names = %i[@secure @secure_proxy @tls_options @debug]
    expect(names.map { |name| ws.instance_variable_get(name) }).to eq([false, false, {}, false])
    expect([ws.close_timeout, ws.max_frame_size]).to eq([3, 10 * 1024 * 1024])
  end

  it "falls back on the module's limits" do
    serve { |ws| record(ws) }
    connect
    ws = open_connection
    before = [EM::WebSocket.max_frame_size, EM::WebSocket.close_timeout]
    EM::WebSocket.max_frame_size = 77
    EM::WebSocket.close_timeout = 5

    expect([ws.max_frame_size, ws.close_timeout]).to eq([77, 5])
  ensure
    EM::WebSocket.max_frame_size, EM::WebSocket.close_timeout = before
  end

  it "holds every connection to the module's max_frame_size" do
    before = EM::WebSocket.max_frame_size
    EM::WebSocket.max_frame_size = 20
    serve
    client = connect
    client.text("x" * 30)

    expect(client.read(:close)).to eq("\x03\xF1Frame length too long (36 bytes)".b)
  ensure
    EM::WebSocket.max_frame_size = before
  end

  it "looks the same at accept as a connection of EventMachine" do
    serve do |ws|
      note(:accept, [ws.state, ws.comm_inactivity_timeout, ws.get_outbound_data_size, ws.error?,
                     ws.pending_connect_timeout, ws.paused?])
    end
    dial

    expect(next_event(:accept).value).to eq([:handshake, 0.0, 0, false, 20.0, false])
  end

  it "answers both addresses from the accept block on" do
    serve { |ws| note(:accept, [ws.get_peername, ws.get_sockname]) }
    client = dial
    names = next_event(:accept).value

    expect(names.map { |name| Socket.unpack_sockaddr_in(name) })
      .to eq([[client.local_port, "127.0.0.1"], [server.port, "127.0.0.1"]])
  end

  it "answers nil for both addresses once it has ended" do
    serve
    client = connect
    ws = open_connection
    client.disconnect
    next_event(:close)

    expect(server.call { [ws.get_peername, ws.get_sockname, ws.error?, ws.get_outbound_data_size] })
      .to eq([nil, nil, true, 0])
  end

  it "knows the client's address", upstream: "0.5.1 has no remote_ip" do
    serve { |ws| note(:accept, ws.remote_ip) }
    dial

    expect(next_event(:accept).value).to eq("127.0.0.1")
  end

  { "in the background" => {}, "on EventMachine's own socket" => { attached: true } }
    .each do |way, metadata|
      # There, EventMachine ends the process over a question about a connection that it lets go of.
      describe(way, :fixed, **metadata) do
        leavings = {
          "leaves" => :disconnect.to_proc,
          "resets the connection" => lambda do |client|
            client.socket.setsockopt(Socket::SOL_SOCKET, Socket::SO_LINGER, [1, 0].pack("ii"))
            client.disconnect
          end
        }
        leavings.each do |how, leave|
          it "still knows the address in onclose when the client #{how}" do
            serve do |ws|
              ws.onopen { note(:open) }
              ws.onclose { note(:close, [ws.remote_ip, ws.get_peername, ws.get_sockname]) }
            end
            client = connect
            ws = open_connection
            leave.call(client)

            expect(next_event(:close).value).to eq(["127.0.0.1", nil, nil])
            expect(server.call { ws.remote_ip }).to eq("127.0.0.1")
          end
        end
      end
    end

  it "has no client's address on a Unix-domain socket, and serves", :fixed do
    Dir.mktmpdir do |directory|
      path = File.join(directory, "socket")
      told = Mailbox.new
      run_reactor do
        EM.start_unix_domain_server(path, described_class, {}) do |ws|
          ws.onopen { told << [:open, ws.remote_ip] }
          ws.onclose { told << [:close, ws.remote_ip] }
        end
      end
      socket = UNIXSocket.new(path)
      socket.write("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n" \
                   "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")

      expect(told.pop).to eq([:open, nil])
      socket.close
      expect(told.pop).to eq([:close, nil])
    end
  end

  it "knows the client's address of IPv6", :fixed do
    serve(host: "::1") { |ws| note(:accept, ws.remote_ip) }
    dial(host: "::1")

    expect(next_event(:accept).value).to eq("::1")
  end

  it "is counted among EventMachine's connections" do
    serve
    before = server.call { EM.connection_count }
    clients = Array.new(3) { connect }
    3.times { open_connection }

    expect(server.call { EM.connection_count } - before).to eq(3)
    clients.each(&:disconnect)
    3.times { next_event(:close) }
    expect(server.call { EM.connection_count }).to eq(before)
  end

  describe "before onopen" do
    {
      send: ["x", "Cannot send data before onopen callback"],
      send_text: ["x", "Cannot send data before onopen callback"],
      send_binary: ["x", "Cannot send binary before onopen callback"],
      ping: ["", "Cannot ping before onopen callback"],
      pingable?: [nil, "Cannot test whether pingable before onopen callback"],
      supports_close_codes?: [nil, "Cannot test before onopen callback"]
    }.each do |name, (argument, message)|
      it "refuses #{name}" do
        serve { |ws| note(:accept, ws) }
        dial
        ws = next_event(:accept).value

        expect { server.call { ws.public_send(name, *argument&.dup) } }
          .to raise_error(EM::WebSocket::WebSocketError, message)
      end
    end

    it "refuses pong" do
      serve { |ws| note(:accept, ws) }
      dial
      ws = next_event(:accept).value

      expect { server.call { ws.pong } }
        .to raise_error(EM::WebSocket::WebSocketError, /\ACannot p[io]ng before onopen callback\z/)
    end

    %i[close close_websocket close_connection close_connection_after_writing].each do |name|
      it "just ends the connection on #{name}" do
        serve do |ws|
          record(ws)
          ws.public_send(name)
        end
        client = dial

        expect(client).to be_eof
        expect(server.call { events.drain }).to be_empty
      end
    end

    it "tells nobody of a client that goes away" do
      serve { |ws| record(ws) }
      client = dial
      client.write("GET / HTTP/1.1\r\nHost")
      server.connection
      client.disconnect
      connect

      expect(next_event.name).to eq(:open)
    end
  end

  describe "#close" do
    [1000, 1003, 1008, 1011, 3000, 4000, 4999].each do |code|
      it "allows #{code}" do
        serve { |ws| ws.onopen { ws.close(code, "reason") } }

        expect(connect.read(:close)).to eq("#{[code].pack("n")}reason".b)
      end
    end

    # A server goes, restarts, or has too much to do (IANA's registry).
    [1001, 1012, 1013].each do |code|
      it "allows #{code}", :fixed do
        serve { |ws| ws.onopen { ws.close(code, "reason") } }

        expect(connect.read(:close)).to eq("#{[code].pack("n")}reason".b)
      end
    end

    refused = [0, -1, 999, 1002, *1004..1007, 1009, 1010, 1014, 1015, 2000, 2999, 5000, 66_536,
               2**64, -2**64, "1000", :x]
    refused.each do |code|
      it "refuses #{code.inspect}" do
        serve
        connect
        ws = open_connection

        expect { server.call { ws.close(code) } }.to raise_error(
          an_instance_of(RuntimeError).and(
            having_attributes(message: "Application code may only use codes from 1000, 3000-4999")
          )
        )
        expect(server.call { ws.state }).to eq(:connected)
      end
    end

    it "is close_websocket too" do
      serve { |ws| ws.onopen { ws.close_websocket(4000) } }

      expect(connect.read(:close)).to eq("\x0F\xA0".b)
    end

    it "comes after what was sent before it" do
      serve { |ws| ws.onopen { [ws.send("x" * 300_000), ws.close] } }
      client = connect

      expect([client.read_text.size, client.read(:close)]).to eq([300_000, ""])
    end
  end
end
