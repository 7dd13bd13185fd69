# frozen_string_literal: true

# Nobody healthy is ended: silence, idleness and lateness count only while the client is read, and
# only from when what it is to answer has left. The core's own tests go into the corners.
RSpec.describe EventMachine::WebSocket, "and its clocks" do
  abnormal = { code: 1006, was_clean: false }

  # A client whose system holds little of what it has not read.
  def narrow
    dial.tap do |client|
      client.socket.setsockopt(:SOCKET, :RCVBUF, 65_536)
      client.open
    end
  end

  # Reads so many bytes each 20 ms, until so many are read; how many were.
  def read_slowly(client, each, total)
    left = total
    while left.positive?
      left -= client.socket.readpartial([each, left].min).bytesize
      sleep 0.02
    end
    total
  rescue EOFError, SystemCallError
    total - left
  end

  def answer_pings(client, seconds)
    deadline = Time.now + seconds
    client.pong(client.read(:ping)) while Time.now < deadline
  end

  # The next frame for the client that is no ping.
  def next_but_pings(client)
    frame = client.read_frame
    frame = client.read_frame while frame != :eof && frame.type == :ping
    frame
  end

  ways = { "in the background" => {}, "on EventMachine's own sockets" => { attached: true } }
  ways.each do |way, metadata|
    describe(way, **metadata) do
      it "keeps a paused client that answers every ping", :extension do
        serve(ping_interval: 0.2, ping_timeout: 0.4)
        client = connect
        ws = open_connection
        server.call { ws.pause }
        # EventMachine does not write to whom it does not read.
        metadata[:attached] ? sleep(1.2) : answer_pings(client, 1.2)
        client.text("hello")
        server.call { ws.resume }

        expect(next_but_pings(client).payload).to eq("hello")
      end

      it "keeps a client that answers while the reactor is busy", :extension do
        serve(ping_interval: 0.2, ping_timeout: 0.4)
        client = connect
        open_connection
        answering = Thread.new { answer_pings(client, 1.2) }
        server.call { sleep 1 }
        answering.join
        client.text("hello")

        expect(next_but_pings(client).payload).to eq("hello")
      end

      it "keeps a client that reads slowly what is before the ping", :extension do
        serve(ping_interval: 0.2, ping_timeout: 0.4)
        client = narrow
        ws = open_connection
        server.call { ws.send(+"x" * 6_000_000) }

        expect(read_slowly(client, 150_000, 6_000_010)).to eq(6_000_010)
        answer_pings(client, 0.6)
      end

      it "reads the answer to our close although the application has paused", :fixed do
        serve(close_timeout: 2) do |ws|
          record(ws, :error, :close)
          ws.onmessage do
            ws.pause
            ws.close(1000)
          end
        end
        client = connect
        client.text("close, please")
        client.read(:close)
        client.close(1000)

        expect(next_event(:close).value).to include(code: 1000, was_clean: true)
      end

      it "hears the answer to our close that came while the reactor was busy", :fixed do
        serve(close_timeout: 0.4)
        client = connect
        ws = open_connection
        server.call do
          ws.close(1000)
          client.close(1000)
          sleep 1
        end

        expect(next_event(:close).value).to include(code: 1000, was_clean: true)
      end

      it "waits for the answer to our close from when it has left", :fixed do
        serve(close_timeout: 0.4)
        client = narrow
        ws = open_connection
        server.call do
          ws.send(+"x" * 6_000_000)
          ws.close(1000)
        end

        expect(read_slowly(client, 150_000, 6_000_010)).to eq(6_000_010)
        client.read(:close)
        client.close(1000)
        expect(next_event(:close).value).to include(code: 1000, was_clean: true)
      end

      it "writes all that is before the end to a client that reads slowly" do
        serve(close_timeout: 0.4)
        client = narrow
        ws = open_connection
        server.call do
          ws.send(+"x" * 6_000_000)
          ws.close_connection_after_writing
        end

        expect(read_slowly(client, 150_000, 6_000_010)).to eq(6_000_010)
        expect(client).to be_eof
      end

      it "keeps a connection past :idle_timeout while a message is arriving", :extension do
        serve(idle_timeout: 0.4)
        client = connect
        client.encode(:text, "x" * 500).each_char.each_slice(10) do |part|
          client.write(part.join)
          sleep 0.02
        end

        expect(client.read_text).to eq("x" * 500)
      end

      it "keeps a connection past :idle_timeout while its messages wait for a block", :extension do
        seen = 0
        serve(idle_timeout: 0.3, inbound_messages: 20) do |ws|
          ws.onmessage do |text|
            sleep 0.02
            ws.send((seen += 1).to_s) if text == "last" || (seen += 1).negative?
          end
        end
        client = connect
        60.times { client.text("one of many") }
        client.text("last")

        expect(client.read_text).to eq("61")
      end

      it "keeps a connection past :idle_timeout while a message is being written", :extension do
        serve(idle_timeout: 0.4)
        client = narrow
        ws = open_connection
        server.call { ws.send(+"x" * 6_000_000) }

        expect(read_slowly(client, 150_000, 6_000_010)).to eq(6_000_010)
        # Had it been idle, our close would stand behind the message.
        expect(server.call { ws.state }).to eq(:connected)
      end

      it "sends nothing, without an error, to a client that :idle_timeout is closing", :extension do
        serve(idle_timeout: 0.3)
        client = connect
        ws = open_connection
        expect(client.read(:close)[0, 2]).to eq([1001].pack("n"))
        sent = server.call { [ws.state, ws.send("x"), ws.send_binary("x"), ws.ping("?")] }

        expect(sent).to eq([:closing, nil, -1, true])
        expect(client.read(:ping)).to eq("?")
      end

      it "sends nothing, without an error, after an exception of the application's", :fixed do
        serve do |ws|
          ws.onmessage { raise "no" }
          ws.onerror { note(:sent, [ws.state, ws.send("x"), ws.send_binary("x")]) }
        end
        client = connect
        client.text("hello")

        expect(client.read(:close)[0, 2]).to eq([3000].pack("n"))
        expect(next_event(:sent).value).to eq([:closing, nil, -1])
      end

      it "sends nothing, without an error, to a client that has broken a rule", :fixed do
        serve { |ws| ws.onerror { note(:sent, [ws.state, ws.send("x"), ws.send_binary("x")]) } }
        client = connect
        client.text("\xFF")

        expect(client.read(:close)[0, 2]).to eq([1007].pack("n"))
        expect(next_event(:sent).value).to eq([:closing, nil, -1])
      end

      it "raises to send after the application's own close" do
        serve
        connect
        ws = open_connection
        server.call { ws.close(4000) }

        expect { server.call { ws.send(+"x") } }.to raise_error(EM::WebSocket::WebSocketError)
      end

      it "holds what came with the request while onopen has paused the connection", :fixed do
        serve do |ws|
          ws.onopen do
            ws.pause
            EM.add_timer(0.3) { note(:resume) && ws.resume }
          end
          ws.onmessage { |text| note(:message, text) }
        end
        client = dial
        client.open(with: client.encode(:text, "early"))
        client.text("late")

        expect(Array.new(3) { next_event }.map { |event| [event.name, event.value] })
          .to eq([[:resume, nil], [:message, "early"], [:message, "late"]])
      end

      it "opens for a request that came in time while the reactor was busy", :extension do
        serve(handshake_timeout: 0.4) do |ws|
          record(ws)
          ws.onrequest { nil }
        end
        client = dial
        server.connection
        server.call do
          client.write(client.request)
          sleep 1
        end

        expect(client.read_response[:status]).to include("101")
      end

      it "does not count the time in which the accept block has paused", :extension do
        serve(handshake_timeout: 0.4) do |ws|
          record(ws)
          ws.pause
          EM.add_timer(1) { ws.resume }
        end

        expect(connect.response[:status]).to include("101")
      end
    end
  end

  it "counts what is written as activity for comm_inactivity_timeout", :fixed do
    serve
    client = narrow
    ws = open_connection
    server.call do
      ws.comm_inactivity_timeout = 0.4
      ws.send(+"x" * 6_000_000)
    end

    expect(read_slowly(client, 150_000, 6_000_010)).to eq(6_000_010)
  end

  it "keeps a client that reads a little all the time, and cuts it off once it stops", :extension do
    serve(write_timeout: 0.4) { |ws| record(ws) }
    client = narrow
    ws = open_connection
    server.call { 20.times { ws.send("x" * 1_000_000) } }

    expect(read_slowly(client, 12_000, 480_000)).to eq(480_000)
    expect(events).to be_empty
    expect(next_event(:close).value).to eq(abnormal)
    expect(EM::WebSocket.stats).to include(write_timeouts: 1)
  end

  it "leaves a connection that is being closed out of a broadcast, without an error", :extension do
    all = []
    serve(idle_timeout: 0.6) do |ws|
      ws.onopen { all << ws }
      ws.onmessage { |text| all.each { |other| other.send(text) } }
    end
    silent = connect
    sleep 0.3
    others = [connect, connect]
    silent.read(:close)
    others.first.text("to all")

    expect(others.map(&:read_text)).to eq(["to all"] * 2)
  end

  it "shuts down in good order while clients go on sending", :extension do
    serve
    client = connect
    open_connection
    done = Mailbox.new
    server.call { EM::WebSocket.shutdown(4) { done << :done } }
    client.text("still here")
    client.read(:close)
    client.text("and here")
    client.close(1001)

    expect(done.pop).to eq(:done)
    expect(event_names).to eq(%i[message message close])
  end
end
