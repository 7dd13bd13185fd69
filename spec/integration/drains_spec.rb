# frozen_string_literal: true

# The others' turn while the application's blocks take their time: nobody waits longer than for the
# block that is his.
RSpec.describe EventMachine::WebSocket, "during a long drain" do
  # The reactor's thread does something else, and so what comes meanwhile is drained together.
  def together
    busy = Mailbox.new
    EM.next_tick do
      busy << true
      sleep 0.1
    end
    busy.pop
    yield
  end

  it "writes an answer while later messages of the drain are still being told", :fixed do
    serve { |ws| ws.onmessage { |text| sleep(0.01) && note(:answered, ws.send(text)) } }
    clients = Array.new(20) { connect }
    together { clients.each { |client| client.text("x") } }

    expect(clients.first.read_text).to eq("x")
    expect(event_names.count(:answered)).to be < 20
    expect(clients.drop(1).map(&:read_text)).to eq(["x"] * 19)
  end

  it "writes what a block has sent before the block returns", :fixed do
    heard = Mailbox.new
    serve do |ws|
      ws.onmessage do |text|
        ws.send("#{text}: wait")
        note(:heard, heard.pop)
        ws.send("#{text}: done")
      end
    end
    client = connect
    2.times do |n|
      client.text(n.to_s)
      expect(client.read_text).to eq("#{n}: wait")
      heard << true
      expect(next_event(:heard).value).to be(true)
      expect(client.read_text).to eq("#{n}: done")
    end
  end

  it "keeps the order of what is written during the drain and at its end" do
    serve do |ws|
      ws.onmessage do |text|
        20.times do |n|
          ws.send("#{text}: #{n}")
          sleep 0.001 if (n % 4).zero?
        end
      end
    end
    client = connect
    together { 3.times { |n| client.text(n.to_s) } }

    expect(Array.new(60) { client.read_text })
      .to eq([0, 1, 2].product([*0...20]).map { |text, n| "#{text}: #{n}" })
  end

  it "reads a connection again as soon as half of what waited is delivered", :extension do
    serve(inbound_messages: 20) { |ws| ws.onmessage { |text| sleep(0.01) && note(:told, text) } }
    client = connect
    client.write(Array.new(100) { |n| client.encode(:text, n.to_s) }.join)
    # All of it has been read at once, and this is not.
    next_event(:told)
    client.write(client.encode(:ping, "there?"))

    expect(client.read(:pong)).to eq("there?")
    expect(event_names.count(:told)).to be_between(80, 98)
  end
end
