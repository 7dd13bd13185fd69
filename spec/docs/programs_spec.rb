# frozen_string_literal: true

require "json"
require "open3"
require "tmpdir"
require_relative "../apps/program"
require_relative "../pubsub/redis"
require_relative "../../rakelib/page"

# Every program that README and docs show, run as a program of its own. Only its port is changed,
# and where it waits for long, for how long.
RSpec.describe "the programs of the pages", :extension, timeout: 60 do
  ruby = Page.all.flat_map do |page|
    page.blocks.select { |block| block.language == "ruby" }
        .map { |block| ["#{page.path}: #{block.heading}", block.code] }
  end
  # By page and heading, and a number where there are several.
  blocks = ruby.group_by(&:first).flat_map do |place, same|
    next [same.first] if same.one?

    same.map.with_index(1) { |(_, code), index| ["#{place} (#{index})", code] }
  end.to_h

  # Not this library's, or run elsewhere.
  others = {
    "docs/channels.md: Limits" => "a rule; spec/integration/channel_limits_spec.rb has such",
    "README.md: Replacing em-websocket, in Jekyll too" =>
      "a Gemfile; spec/packaging/bundler_spec.rb runs it",
    "docs/deployment.md: systemd" => "notify.rb; spec/docs/deployment_spec.rb runs it",
    "docs/deployment.md: By a Unix-domain socket" => "spec/docs/proxies_spec.rb runs it",
    "docs/deployment.md: A socket unit" => "it needs systemd's socket; the same runs it",
    "docs/deployment.md: Releases" => "Capistrano's",
    "docs/upgrading.md: From faye-websocket (1)" => "faye-websocket's",
    "docs/upgrading.md: From iodine (1)" => "iodine's"
  }

  shown = []
  # An example for a program: what its text has in place of what, and what it must do.
  define_singleton_method(:program) do |key, replace = {}, &check|
    shown << key
    it "#{key} works" do
      @code = replace.reduce(blocks.fetch(key)) do |code, (from, to)|
        expect(code).to include(from)
        code.sub(from, to)
      end
      instance_exec(&check)
    end
  end

  # Runs the program in a directory of its own and gives the block the program and its port.
  def run(files = {})
    Dir.mktmpdir("program") do |directory|
      files.each { |name, content| File.write(File.join(directory, name), content) }
      port, = Program.free_ports(1)
      path = File.join(directory, "program.rb")
      File.write(path, "$stdout.sync = true\n#{@code.gsub(/\b8080\b|\b8443\b/, port.to_s)}")
      Program.ruby("-r", "em-websocket", path, chdir: directory) do |program|
        yield program, port
      end
    end
  end

  def say(client, text)
    client.text(text)
    client.read_text
  end

  def status(client) = client.response[:status]

  echoes = proc { run { |_, port| expect(say(reach(port), "Grüße")).to eq("Grüße") } }

  program "README.md: Usage (1)" do
    run do |program, port|
      client = reach(port, target: "/here")
      expect(say(client, "Grüße")).to eq("Grüße")
      client.binary("\xFF")
      expect(client.read(:binary)).to eq("\xFF".b)
      client.close(1000)
      program.wait_for(%r{open: /here\nclosed: 1000\n})
      expect(program.stop("TERM")).to be_success
    end
  end

  program "README.md: Usage (2)" do
    run do |program, _|
      port = Integer(program.wait_for(/listening on 127\.0\.0\.1:(\d+)/)[1])
      expect(say(reach(port), "hi")).to eq("you said hi")
    end
  end

  program "README.md: TLS" do
    command = Page.new("README.md").blocks.find { |block| block.code.include?("openssl req") }.code
    Dir.mktmpdir("key") do |directory|
      output, done = Open3.capture2e(command, chdir: directory)
      expect(done).to be_success, output
      pems = %w[key.pem chain.pem].to_h { |name| [name, File.read(File.join(directory, name))] }
      run(pems) { |_, port| expect(say(reach(port, tls: true), "secret")).to eq("secret") }
    end
  end

  program "docs/tls.md: Several hosts" do
    names = { "" => "/CN=default", "chat-" => "/CN=chat.example", "any-" => "/CN=*.example" }
    pems = names.flat_map do |prefix, name|
      key = OpenSSL::PKey::EC.generate("prime256v1")
      certificate = OpenSSL::X509::Certificate.new(Certificate.chain_text)
      certificate.subject = OpenSSL::X509::Name.parse(name)
      certificate.public_key = key
      certificate.sign(key, OpenSSL::Digest.new("SHA256"))
      [["#{prefix}key.pem", key.to_pem], ["#{prefix}chain.pem", certificate.to_pem]]
    end
    run(pems.to_h) do |_, port|
      reach(port, tls: true)
      asked = ["chat.example", "z.example", nil].map do |name|
        client = opened(TlsClient.new(port, hostname: name)).tap(&:open)
        [client.socket.peer_cert.subject.to_s, client.read_text]
      end
      expect(asked).to eq([["/CN=chat.example", "this is chat.example"],
                           ["/CN=*.example", "this is z.example"],
                           ["/CN=default", "this is the default"]])
    end
  end

  program "README.md: Who may connect: tokens and origins" do
    run do |_, port|
      ours = { headers: { "Origin" => "https://example.com" } }
      nobodys = { headers: { "Origin" => nil } }
      known = { target: "/?token=s3cret" }
      expect(reach(port, **known, **ours).read_text).to eq("hello ada")
      expect(reach(port, **known, **nobodys).read_text).to eq("hello ada")
      expect(status(reach(port, target: "/?token=guessed", **ours))).to include("401")
      expect(status(reach(port, **known))).to include("403")
    end
  end

  program "docs/channels.md: Without a channel" do
    run do |_, port|
      clients = Array.new(3) { reach(port) }
      clients.pop.disconnect
      clients.first.text("all")
      expect(clients.map(&:read_text)).to eq(%w[all all])
    end
  end

  program "README.md: Channels: one message for many clients" do
    run do |_, port|
      position = reach(port).read_text[/\Ayou are at (\h+:0)\z/, 1]
      speaker = reach(port)
      speaker.read_text
      %w[one two].each { |text| expect(say(speaker, text)).to eq(text) }
      back = reach(port, target: "/?since=#{position}")
      expect(Array.new(3) { back.read_text })
        .to eq(["one", "two", "you are at #{position.sub(/0\z/, "2")}"])
      expect(reach(port, target: "/?since=lost").read_text).to eq("begin anew")
      expect(say(speaker, "three")).to eq("three")
      expect(back.read_text).to eq("three")
    end
  end

  program "README.md: Slow clients: back-pressure" do
    run do |_, port|
      client = reach(port)
      expect(Array.new(50_000) { Integer(client.read_text) }).to eq([*1..50_000])
    end
  end

  program("README.md: Deploying without dropping anybody: keepalive and shutdown",
          "ping_interval: 30" => "ping_interval: 0.1") do
    run do |program, port|
      client = reach(port, headers: { "Sec-WebSocket-Extensions" => "permessage-deflate" })
      expect(client.response[:lines].join).to include("permessage-deflate")
      expect(client.read_frame.type).to eq(:ping)
      Process.kill("TERM", program.pid)
      frame = client.read_frame while frame.nil? || frame.type == :ping
      expect([frame.type, frame.payload.unpack1("n")]).to eq([:close, 1001])
      client.close(1001)
      expect(program.join).to be_success
    end
  end

  program "README.md: Who is there" do
    run do |_, port|
      ada = reach(port, target: "/?user=ada")
      expect(ada.read_text).to eq("ada is here")
      expect(ada.read_text).to eq("here are ada")
      ben = reach(port, target: "/?user=ben")
      expect(Array.new(2) { ben.read_text }).to eq(["ben is here", "here are ada, ben"])
      expect(ada.read_text).to eq("ben is here")
      expect(reach(port, target: "/?user=ben").read_text).to eq("here are ada, ben")
    end
  end

  program "docs/options.md: Limits" do
    run do |_, port|
      # A frame's header counts: 8 bytes up to 64 KiB, 14 beyond.
      sizes = { "/" => (64 * 1024) - 8, "/upload" => (1024 * 1024) - 14 }
      sizes.each do |target, size|
        client = reach(port, target: target)
        client.binary("x" * size)
        expect(client.read_text).to eq("#{size} bytes")
        client.binary("x" * (size + 1))
        expect(client.read(:close).unpack1("n")).to eq(1009)
      end
    end
  end

  program "docs/channels.md: Channels" do
    run do |_, port|
      first, second = Array.new(2) { reach(port, target: "/den") }
      reach(port, target: "/elsewhere")
      expect(say(first, "hi")).to eq("1 others are in chat:/den")
      expect(second.read_text).to eq("hi")
    end
  end

  program "docs/channels.md: History and recovery" do
    run do |_, port|
      client = reach(port)
      position = client.read_text[/\Ayou are at (\h+:0), recovered: nil\z/, 1]
      expect(say(client, "missed")).to eq("missed")
      back = reach(port, target: "/?since=#{position}")
      expect([back.read_text, back.read_text])
        .to match(["missed", /\Ayou are at \h+:1, recovered: true\z/])
      expect(reach(port, target: "/?since=0:0").read_text).to end_with("recovered: false")
    end
  end

  program "docs/channels.md: How a client knows its position" do
    run do |_, port|
      client = reach(port)
      epoch = JSON.parse(client.read_text)["position"].delete_suffix(":0")
      expect(say(client, "hello"))
        .to eq(%({"channel":"news","position":"#{epoch}:1","message":"hello"}))
      expect(say(client, "missed")).to include("missed")
      back = reach(port, target: "/?since=#{epoch}:1")
      expect(JSON.parse(back.read_text))
        .to eq("channel" => "news", "position" => "#{epoch}:2", "message" => "missed")
      expect(JSON.parse(back.read_text)).to eq("position" => "#{epoch}:2")
      expect(reach(port, target: "/?since=x").read_text).to eq("anew")
    end
  end

  program "docs/channels.md: Blocks that listen" do
    run do |program, port|
      both = Array.new(2) { reach(port) }
      both.first.text("hi")
      expect(both.map(&:read_text)).to eq(%w[hi hi])
      program.wait_for(/logged: hi/)
    end
  end

  program "docs/channels.md: Presence" do
    run do |_, port|
      ann = reach(port, target: "/?user=ann")
      expect([ann.read_text, ann.read_text]).to eq(["ann is here", "here are ann"])
      bob = reach(port, target: "/?user=bob")
      expect([bob.read_text, bob.read_text]).to eq(["bob is here", "here are ann, bob"])
      expect(ann.read_text).to eq("bob is here")
    end
  end

  program "docs/channels.md: Slow consumers" do
    run do |_, port|
      client = reach(port)
      client.text("50000")
      last = Integer(client.read_text)
      until last == 50_000
        number = Integer(client.read_text)
        expect(number).to be > last
        last = number
      end
    end
  end

  program "docs/connections.md: Threads" do
    run { |_, port| expect(say(reach(port), "thread")).to eq("daerht") }
  end

  program "docs/authentication.md: A token" do
    run do |_, port|
      known = { target: "/?token=s3cret", headers: { "Origin" => nil } }
      offer = { "Origin" => nil, "Sec-WebSocket-Protocol" => "v1.chat, v2.chat" }
      expect(reach(port, **known).read_text).to eq("hello ada, we speak ")
      expect(reach(port, **known, headers: offer).read_text).to eq("hello ada, we speak v2.chat")
      expect(status(reach(port, **known, target: "/"))).to include("401")
    end
  end

  program "docs/authentication.md: Deciding later" do
    run do |_, port|
      expect(reach(port, target: "/?token=s3cret").read_text).to eq("welcome")
      expect(status(reach(port, target: "/?token=other"))).to include("401")
    end
  end

  # The response to plain HTTP, as soon as somebody listens there.
  def answer(port, verb, path, body = "")
    reach(port)
    client = dial(port: port)
    client.write("#{verb} #{path} HTTP/1.1\r\nHost: localhost\r\n" \
                 "Content-Length: #{body.bytesize}\r\n\r\n#{body}")
    client.read_response[:status][/\d{3}/] + client.read_to_end
  end

  program "docs/http.md: By path" do
    run do |_, port|
      expect(answer(port, "GET", "/health")).to eq("200OK")
      expect(answer(port, "POST", "/events", "one")).to eq("202ONE")
      expect(answer(port, "GET", "/events")).to eq("405")
      expect(answer(port, "GET", "/robots.txt")).to start_with("200User-agent: *\n")
      expect(say(reach(port), "hi")).to eq("hi")
    end
  end

  program "docs/http.md: A block" do
    run { |_, port| expect(answer(port, "POST", "/", "abc")).to eq("200cba") }
  end

  program "docs/http.md: A Rack application" do
    run do |_, port|
      expect(answer(port, "GET", "/here")).to eq("200hello from /here")
      expect(say(reach(port), "hi")).to eq("hi")
    end
  end

  program "docs/subclassing.md: Subclassing" do
    run do |_, port|
      client = reach(port, target: "/x")
      expect([client.read_text, say(client, "loud")]).to eq(["welcome to /x", "LOUD"])
      page = dial(port: port)
      page.write("GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
      expect(page.read_to_end).to end_with("\r\n\r\nHello!")
    end
  end

  program("docs/monitoring.md: Monitoring", "(60)" => "(0.1)") do
    run do |program, port|
      expect(say(reach(port), "hi")).to eq("hi")
      program.wait_for(/:?messages_sent(?:=>|: )1\b/)
    end
  end

  program "README.md: HTTP on the same port: metrics and health" do
    run do |_, port|
      expect(answer(port, "GET", "/health")).to eq("200OK")
      expect(answer(port, "GET", "/metrics")).to start_with("200# HELP em_websocket_")
      expect(answer(port, "GET", "/-/")).to start_with("200<!doctype html>")
      expect(answer(port, "GET", "/hello?name=ada")).to eq("200hello ada")
    end
  end

  program "docs/monitoring.md: Logging" do
    run do |program, port|
      reach(port, target: "/chat?token=x").disconnect
      program.wait_for(%r{INFO -- : opened id=\d+ ip=127\.0\.0\.1 version=13 path=/chat\n})
      program.wait_for(/INFO -- : closed id=/)
    end
  end

  program "docs/monitoring.md: A page to look inside" do
    run { |_, port| expect(answer(port, "GET", "/-/?stats")).to start_with('200{"connections":') }
  end

  program "docs/monitoring.md: Prometheus" do
    run do |_, port|
      expect(answer(port, "GET", "/health")).to eq("200OK")
      expect(answer(port, "GET", "/metrics")).to start_with("200# HELP em_websocket_")
    end
  end

  program "docs/deployment.md: Deployment", &echoes

  program "docs/deployment.md: The client's address" do
    run do |_, port|
      client = reach(port, headers: { "X-Forwarded-For" => "6.6.6.6, 192.0.2.1",
                                      "X-Forwarded-Proto" => "https" })
      expect(client.read_text).to eq("192.0.2.1 true")
    end
  end

  program "docs/deployment.md: The PROXY protocol" do
    run do |_, port|
      reach(port).disconnect
      client = dial(port: port)
      client.write("PROXY TCP4 192.0.2.1 203.0.113.9 56324 443\r\n")
      client.open
      expect(client.read_text).to eq("192.0.2.1 true")
    end
  end

  program "docs/deployment.md: Several processes" do
    run do |program, port|
      pid = Integer(say(reach(port), "hi")[/\A(\d+): hi\z/, 1])
      expect(pid).not_to eq(program.pid)
    end
  end

  # Runs the block with a Redis, whose address a program then finds.
  def with_redis(*options)
    skip "there is no redis-server (bin/setup unpacks it)" unless Redis::PATH
    Redis.run(*options) do |redis|
      @code = @code.sub('"redis://127.0.0.1:6379"', redis.url.inspect)
      yield redis
    end
  end

  program "docs/scaling.md: Scaling" do
    with_redis do
      run do |first, port|
        clients = [reach(port)]
        run do |second, other|
          clients << reach(other)
          expect(clients.map(&:read_text)).to eq(["begin anew"] * 2)
          [first, second].each { |program| program.wait_for(/pubsub: connected/, program.errors) }
          clients.first.text("hello")
          heard = clients.map { |client| JSON.parse(client.read_text) }
          expect(heard.map { |one| one["message"] }).to eq(%w[hello hello])
          back = reach(other, target: "/?since=#{heard.first["position"]}")
          expect(back.read_text).to eq("you have missed nothing")
        end
      end
    end
  end

  program "docs/scaling.md: What is told when" do
    with_redis do |redis|
      run do |_, port|
        client = reach(port)
        sleep 0.01 until redis.call("PUBSUB", "CHANNELS").include?("prices")
        redis.restart
        expect(client.read_text).to eq('{"reload":"prices"}')
      end
    end
  end

  program "docs/signals.md: Handlers of your own" do
    run do |program, port|
      client = reach(port)
      expect(say(client, "hi")).to eq("hi")
      { "HUP" => nil, "USR2" => /connections.*\n/ }.each do |signal, said|
        Process.kill(signal, program.pid)
        program.wait_for(said) if said
      end
      Process.kill("TERM", program.pid)
      expect(client.read(:close).unpack1("n")).to eq(1001)
      client.close(1001)
      expect(program.join).to be_success
    end
  end

  program "docs/upgrading.md: From faye-websocket (2)" do
    run do |program, port|
      client = reach(port, target: "/x", headers: { "Sec-WebSocket-Protocol" => "chat" })
      expect([client.read_text, say(client, "hi")]).to eq(["hello /x", "hi"])
      client.close(1000, "bye")
      program.wait_for(/1000\nbye/)
    end
  end

  program "docs/upgrading.md: From iodine (2)" do
    run do |_, port|
      client = reach(port)
      expect([client.read_text, say(client, "hi")]).to eq(%w[hello hi])
    end
  end

  program "docs/upgrading.md: From Slanger" do
    run do |_, port|
      client = reach(port)
      expect([say(client, "a"), say(client, "b")]).to eq(["a", "a, b"])
      expect(say(reach(port), "c")).to eq("c")
    end
  end

  it "are all here" do
    expect(blocks.keys).to match_array(shown + others.keys)
  end
end
