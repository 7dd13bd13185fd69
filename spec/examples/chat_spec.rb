# frozen_string_literal: true

require "json"
require "net/http"
require_relative "../browser/example"

# examples/chat.rb, which is the demo: its chat, its page, and what it says of the server.
RSpec.describe "examples/chat.rb", :extension, timeout: 60 do
  around { |example| Example.run("chat") { |chat| @chat = chat and example.run } }

  def dial_example(example, target: "/", **options)
    dial(port: example.port, **options).tap { |client| client.open(target: target) }
  end

  def enter(name = nil, **since)
    client = dial_example(@chat, target: "/chat")
    client.text(JSON.generate(type: "enter", name: name, **since))
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
    expect(hear(ada, "message")[:line])
      .to include(text: "<b>hi</b>", from: { id: 2, name: "Ada (2)" })
    ben.text(JSON.generate(type: "enter", name: "Ben"))
    news = hear(ada, "people") until news && news[:text].include?("now Ben")
    expect(news[:people].map { |person| person[:name] }).to eq %w[Ada Ben]
    ben.disconnect
    expect(hear(ada, "people")).to include(text: "Ben has left", people: [{ id: 1, name: "Ada" }])
  end

  it "takes a page that is loaded again for the same person, who has neither left nor come" do
    ada = enter("Ada")
    ben = enter("Ben", key: "secret")
    ben.disconnect
    ben = enter("somebody", key: "secret")
    expect(@welcome[:you]).to eq(id: 2, name: "Ben")
    expect(hear(ben, "people")[:people].map { |person| person[:name] }).to eq %w[Ada Ben]
    ben.text(JSON.generate(type: "leave"))
    hear(ada, "people")
    expect(hear(ada, "people")[:text]).to eq "Ben is here"
    expect(hear(ada, "people")[:text]).to eq "Ben has left"
    ben.text(JSON.generate(type: "say", text: "gone"))
    frame = ben.read_frame until frame&.type == :close
    expect(frame.payload.unpack1("n")).to eq 4400
  end

  it "tells a newcomer what was said before" do
    ada = enter
    expect(@welcome[:you][:name]).to eq "Guest 1"
    ada.text(JSON.generate(type: "say", text: "early"))
    hear(ada, "message")
    enter
    expect(@welcome[:history].map { |line| line[:text] }).to eq ["early"]
  end

  it "sends who comes back what was said meanwhile, and then goes on" do
    ada = enter("Ada")
    ben = enter("Ben")
    position = @welcome[:position]
    ben.disconnect
    %w[one two].each { |text| ada.text(JSON.generate(type: "say", text: text)) }
    2.times { hear(ada, "message") }
    ben = dial_example(@chat, target: "/chat")
    ben.text(JSON.generate(type: "enter", since: position))
    expect(Array.new(2) { hear(ben, "message").dig(:line, :text) }).to eq %w[one two]
    expect(hear(ben, "welcome")).to match(type: "welcome", you: a_kind_of(Hash),
                                          position: position.sub(/:0\z/, ":2"))
    ada.text(JSON.generate(type: "say", text: "three"))
    expect(hear(ben, "message").dig(:line, :text)).to eq "three"
  end

  it "begins anew with who comes back with another server's position" do
    enter("Ada").text(JSON.generate(type: "say", text: "now"))
    eve = enter("Eve", since: "5")
    expect(@welcome[:history].map { |line| line[:text] }).to eq ["now"]
    expect(hear(eve, "people")[:people].size).to eq 2
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

  ["no JSON", "[]", '{"type":"shout"}', '{"type":"say","text":"who?"}',
   '{"type":"enter","since":7}'].each do |nonsense|
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
      expect(head).to match(/text.html.*^Content-Length: #{body.bytesize}$/m)
    end
  end

  it "says where the server's plots are, and shows them" do
    address = @chat.wait_for(%r{http://localhost:(\d+)/-/})[0]
    page = Net::HTTP.get_response(URI(address.sub("localhost", "127.0.0.1")))
    expect([page.code, page.body]).to match ["200", /<title>.*polyline/m]
  end

  it "opens a WebSocket, however the request is cut" do
    client = dial(port: @chat.port)
    client.write(client.request(target: "/echo"), cut: 1)
    client.read_response
    client.text("in time")
    expect(client.read_text).to eq "in time"
  end

  it "answers HEAD without the page, and says how long it is" do
    _, head, body = ask("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    size = File.size(File.join(Example::ROOT, "examples/chat.html"))
    expect(head).to include("Content-Length: #{size}")
    expect(body.to_s).to be_empty
  end

  {
    "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" => "404 Not Found",
    "POST / HTTP/1.1\r\nHost: x\r\n\r\n" => "405 Method Not Allowed",
    "GET / HTTP/1.1\r\nX: #{"x" * 17_000}" => "431 Request Header Fields Too Large"
  }.each do |request, status|
    it "answers #{request[0, 20].inspect} with #{status}" do
      expect(ask(request).first).to eq "HTTP/1.1 #{status}"
    end
  end
end
