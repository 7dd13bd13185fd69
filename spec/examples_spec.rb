# frozen_string_literal: true

require "json"
require_relative "browser/example"

# Each example is run once as it is, and talked to.
RSpec.describe "examples", timeout: 60 do
  def dial_example(example, target: "/", **options)
    dial(port: example.port, **options).tap { |client| client.open(target: target) }
  end

  describe "echo.rb" do
    it "echoes text as text and binary as binary" do
      Example.run("echo") do |example|
        client = dial_example(example)
        client.text("Grüße")
        expect(client.read_text).to eq "Grüße"
        client.binary("\xFF\x00")
        expect(client.read(:binary)).to eq "\xFF\x00".b
        client.close(1000, "done")
        expect(example.wait_for(/closed: 1000 done$/)).to be
      end
    end

    it "ends on Ctrl-C" do
      Example.run("echo", signal: "INT") { |example| dial_example(example) }
    end
  end

  describe "ping.rb" do
    it "is told of the pongs" do
      Example.run("ping") do |example|
        client = dial_example(example)
        client.pong(client.read(:ping))
        expect(example.wait_for(/pong after \d+\.\d ms$/)).to be
      end
    end
  end

  describe "multicast.rb" do
    it "sends each reading to every client" do
      Example.run("multicast") do |example|
        first, second = Array.new(2) { dial_example(example) }
        reading = second.read_text
        expect(JSON.parse(reading)).to match("celsius" => a_kind_of(Float))
        heard = first.read_text
        heard = first.read_text until heard == reading
        first.close(1000)
        expect(example.wait_for(/^unsubscribed: \d+$/)).to be
        expect(second.read_text).to include("celsius")
      end
    end
  end

  describe "secure.rb" do
    it "echoes over TLS" do
      Example.run("secure") do |example|
        client = dial_example(example, tls: true)
        client.text("hidden")
        expect(client.read_text).to eq "hidden"
      end
    end
  end

  describe "chat.rb" do
    around { |example| Example.run("chat") { |chat| @chat = chat and example.run } }

    def enter(name = nil)
      client = dial_example(@chat, target: "/chat")
      client.text(JSON.generate(type: "enter", name: name))
      client.tap { @welcome = hear(client, "welcome") }
    end

    def hear(client, type)
      loop do
        news = JSON.parse(client.read_text, symbolize_names: true)
        return news if news[:type] == type
      end
    end

    def ask(bytes, **cut)
      client = dial(port: @chat.port)
      client.write(bytes, **cut)
      head, body = client.read_to_end.split("\r\n\r\n", 2)
      [head.lines.first.chomp, head, body]
    end

    it "passes messages on, and who is there" do
      ada = enter("Ada")
      expect(@welcome[:you][:name]).to eq "Ada"
      ben = enter("Ada")
      expect(@welcome[:you][:name]).to eq "Ada (2)"
      ben.text(JSON.generate(type: "say", text: "<b>hi</b>"))
      expect(hear(ada, "message")).to include(text: "<b>hi</b>", from: { id: 2, name: "Ada (2)" })
      ben.text(JSON.generate(type: "enter", name: "Ben"))
      news = hear(ada, "people") until news && news[:text].include?("now Ben")
      expect(news[:people].map { |person| person[:name] }).to eq %w[Ada Ben]
      ben.disconnect
      expect(hear(ada, "people")).to include(text: "Ben has left", people: [{ id: 1, name: "Ada" }])
    end

    it "tells a newcomer what was said before" do
      ada = enter
      expect(@welcome[:you][:name]).to eq "Guest 1"
      ada.text(JSON.generate(type: "say", text: "early"))
      hear(ada, "message")
      enter
      expect(@welcome[:history].map { |line| line[:text] }).to eq ["early"]
    end

    it "tells everybody what the server does" do
      ada = enter
      dial_example(@chat, target: "/echo")
      news = hear(ada, "figures") until news && news[:connections] == 2
      expect(news).to match(type: "figures", connections: 2, rate: a_kind_of(Integer),
                            messages: a_value >= 3, waiting: a_kind_of(Integer))
    end

    it "does not count what tells of it" do
      ada = enter
      counts = Array.new(3) { hear(ada, "figures")[:messages] }
      expect(counts.uniq).to eq [3] # "enter", "welcome" and "people"
    end

    ["no JSON", "[]", '{"type":"shout"}', '{"type":"say","text":"who?"}'].each do |nonsense|
      it "closes with 4400 on #{nonsense}" do
        client = dial_example(@chat, target: "/chat")
        client.text(nonsense)
        expect(client.read(:close).unpack1("n")).to eq 4400
      end
    end

    { "?code=4001" => 4001, "?code=1000" => 1000, "?code=1005" => 4400, "" => 4400 }
      .each do |query, code|
        it "closes /close#{query} with #{code}" do
          client = dial_example(@chat, target: "/close#{query}")
          expect(client.read(:close).unpack1("n")).to eq code
        end
      end

    it "serves its page, however the request is cut" do
      request = "GET /?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
      [{}, { cut: 1 }].each do |cut|
        status, head, body = ask(request, **cut)
        expect(status).to eq "HTTP/1.1 200 OK"
        expect(body).to eq File.binread(File.join(Example::ROOT, "examples/chat.html"))
        expect(head).to include("Content-Length: #{body.bytesize}\r\n", "text/html")
      end
    end

    it "opens a WebSocket, however the request is cut" do
      client = dial(port: @chat.port)
      client.write(client.request(target: "/echo"), cut: 1)
      client.read_response
      client.text("in time")
      expect(client.read_text).to eq "in time"
    end

    it "answers HEAD without the page, and says how long it is" do
      _, head, body = ask("HEAD / HTTP/1.1\r\n\r\n")
      size = File.size(File.join(Example::ROOT, "examples/chat.html"))
      expect(head).to include("Content-Length: #{size}")
      expect(body.to_s).to be_empty
    end

    {
      "GET /nowhere HTTP/1.1\r\n\r\n" => "404 Not Found",
      "POST / HTTP/1.1\r\n\r\n" => "405 Method Not Allowed",
      "\x16\x03\x01" => "400 Bad Request",
      "GET / HTTP/1.1\r\nX: #{"x" * 17_000}" => "431 Request Header Fields Too Large"
    }.each do |request, status|
      it "answers #{request[0, 20].inspect} with #{status}" do
        expect(ask(request).first).to eq "HTTP/1.1 #{status}"
      end
    end
  end
end
