# frozen_string_literal: true

require "digest"
require "json"
require "net/http"
require "open3"
require "securerandom"
require "tmpdir"
require_relative "apps/program"
require_relative "browser/example"

# Each example is run once as it is, and talked to.
RSpec.describe "examples", timeout: 60 do
  def dial_example(example, target: "/", **options)
    dial(port: example.port, **options).tap { |client| client.open(target: target) }
  end

  # The status and the body of a page.
  def get(port, path)
    answer = Net::HTTP.get_response(URI("http://127.0.0.1:#{port}#{path}"))
    [answer.code, answer.body]
  end

  # A server that is still starting refuses.
  def patiently
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 20
    begin
      yield
    rescue Errno::ECONNREFUSED
      raise if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

      sleep 0.05
      retry
    end
  end

  it "are in their README, and have examples here" do
    files = Dir.children(File.join(Example::ROOT, "examples")) - ["README.md"]
    listed = File.read(File.join(Example::ROOT, "examples/README.md")).scan(/\]\(([\w.]+)\)/)
    here = self.class.children.map { |group| group.metadata[:description] }
    expect(listed.flatten).to match_array(files)
    own = Dir.children(File.join(__dir__, "examples")).map { |spec| spec.sub("_spec", "") }
    expect(files.grep_v(/html\z/) - here - own).to be_empty
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

  describe "multicast.rb", :extension do
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

  describe "recovering.rb", :extension do
    around { |example| Example.run("recovering") { |server| @server = server and example.run } }

    def begin_with(since = nil)
      client = dial_example(@server, target: "/#{"?since=#{since}" if since}")
      [client, hear(client)]
    end

    def hear(client) = JSON.parse(client.read_text, symbolize_names: true)

    it "begins with what is kept, and then sends what comes with its position" do
      first, welcome = begin_with
      epoch = welcome[:position][/\A(\h+):0\z/, 1]
      expect(welcome).to eq(recovered: false, position: "#{epoch}:0", kept: [])
      first.text("Grüße \"1\"")
      expect(hear(first))
        .to eq(channel: "news", position: "#{epoch}:1", message: "Grüße \"1\"")
      _, welcome = begin_with
      expect(welcome).to eq(recovered: false, position: "#{epoch}:1", kept: ["Grüße \"1\""])
    end

    it "sends who comes back what it has missed, and begins anew where that is lost" do
      first, = begin_with
      first.text("1")
      position = hear(first)[:position]
      %w[2 3].each { |text| first.text(text) && hear(first) }
      back, missed = begin_with(position)
      expect([missed[:message], hear(back)[:message]]).to eq %w[2 3]
      expect(hear(back)).to include(recovered: true, kept: nil)
      _, welcome = begin_with("0:1")
      expect(welcome).to include(recovered: false, kept: %w[1 2 3])
    end
  end

  describe "presence.rb", :extension do
    around do |example|
      Example.run("presence", "1") { |server| @server = server and example.run }
    end

    def come(cookie)
      client = dial(port: @server.port)
      client.open(headers: { "Cookie" => cookie })
      [client, JSON.parse(client.read_text, symbolize_names: true)]
    end

    def hear(client) = JSON.parse(client.read_text, symbolize_names: true)
    def cookie = "a=1; visitor=#{SecureRandom.hex}"

    it "has a page that says who is here, and by which a visitor is known again" do
      answer = Net::HTTP.get_response(URI("http://127.0.0.1:#{@server.port}/"))
      expect(answer.body).to include("Who is here")
      given = answer["Set-Cookie"][%r{\Avisitor=\h{32}(?=; Path=/; HttpOnly; SameSite=Strict\z)}]
      ids = Array.new(2) { come(given).last[:you] }
      expect(ids.uniq.size).to eq 1
      expect(given).not_to include(ids.first)
    end

    it "tells of each visitor once, of changes, and that one has gone when his last tab has" do
      ada, = come(cookie)
      hers = cookie
      ben, welcome = come(hers)
      id = welcome[:you]
      expect(welcome[:members].size).to eq 2
      expect(hear(ada)).to match(is: "here", id: id, info: { name: /\AGuest/, away: false })
      second, = come(hers)
      second.text(JSON.generate(name: " Ben ", away: true))
      changed = { id: id, info: { name: "Ben", away: true } }
      expect(hear(ada)).to eq(is: "changed", **changed)
      second.disconnect
      ben.disconnect
      ben, welcome = come(hers)
      expect(welcome[:members][id.to_sym]).to eq changed[:info]
      ben.text("{")
      expect(ben.read(:close)).to include("not JSON")
      ben.disconnect
      expect(hear(ada)).to eq(is: "gone", **changed)
    end
  end

  describe "recovering.js", :extension do
    node = %w[--experimental-websocket -e 0]
    has_websocket = system("node", *node, %i[out err] => File::NULL)
    program = <<~JAVASCRIPT
      require("node:vm").runInThisContext(require("node:fs").readFileSync(process.argv[1], "utf8") +
        "; globalThis.Recovering = Recovering;");
      const say = (...words) => console.log(...words);
      new Recovering(process.argv[2], {
        began: (kept) => say("began", kept.join()),
        came: (message) => say("came", message),
        changed: (state) => say(state),
      });
    JAVASCRIPT

    before { skip "there is no node with WebSockets" unless has_websocket }

    # The client, as a program that tells what comes.
    def run_client(port, program, &block)
      path = File.join(Example::ROOT, "examples/recovering.js")
      Program.run("node", "--experimental-websocket", "-e", program, path,
                  "ws://127.0.0.1:#{port}/", &block)
    end

    it "has every message once, in order, however often its connection is lost" do
      Example.run("recovering") do |server|
        CutNetwork.open(server.port) do |network|
          run_client(network.port, program) do |client|
            client.wait_for(/open/)
            speaker = dial_example(server)
            speaker.read_text
            1.upto(300) do |n|
              speaker.text(n.to_s)
              speaker.read_text
              [50, 120, 200].include?(n) && client.wait_for(/came #{n - 20}\n/) && network.cut
              sleep 0.005
            end
            client.wait_for(/came 300\n/)
            came = client.output.scan(/came (\d+)/).flatten.map(&:to_i)
            expect(came).to eq([*1..300])
            expect(client.output.scan(/began|lost/)).to eq(%w[began lost lost lost])
          end
        end
      end
    end

    it "begins anew where the server does" do
      first = Example.new("recovering")
      dial_example(first).text("before")
      run_client(first.port, program) do |client|
        client.wait_for(/open/)
        first.stop
        client.wait_for(/lost/)
        Example.run("recovering", port: first.port) do
          client.wait_for(/lost\nbegan \nopen\n/)
        end
      end
    ensure
      first&.kill
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

  describe "token.rb", :extension do
    secret = { "TOKEN_SECRET" => "a secret of both" }

    # Line that the program prints for somebody who signs in elsewhere.
    def token_for(user, env)
      path = File.join(Example::ROOT, "examples/token.rb")
      token, status = Open3.capture2(env, RbConfig.ruby, path, "token", user)
      expect(status).to be_success
      token.chomp
    end

    it "lets in who has a token, and knows who it is" do
      Example.run("token", env: secret) do |example|
        client = dial_example(example, target: "/?token=#{token_for("Zoë", secret)}")
        expect(client.read_text).to eq "Hello Zoë"
        client.text("hi")
        expect(client.read_text).to eq "Zoë: hi"
      end
    end

    it "refuses everybody else" do
      Example.run("token", env: secret) do |example|
        good = token_for("ada", secret)
        user, expiry, signature = good.split(".")
        bad = ["", "?token=", "?token=a", "?token=a.b.c", "?token=#{good}x", "?token=#{good[..-2]}",
               "?token=#{["eve"].pack("m0")}.#{expiry}.#{signature}",
               "?token=#{user}.#{expiry.to_i + 60}.#{signature}",
               "?token=#{token_for("ada", { "TOKEN_SECRET" => "another" })}"]
        statuses = bad.map { |query| dial_example(example, target: "/#{query}").response[:status] }
        expect(statuses.uniq).to eq ["HTTP/1.1 401 Unauthorized"]
      end
    end

    it "refuses a token that is too old" do
      Example.run("token", env: secret) do |example|
        payload = "YWRh.#{Time.now.to_i - 1}"
        signature = [OpenSSL::HMAC.digest("SHA256", secret["TOKEN_SECRET"], payload)].pack("m0")
        token = "#{payload}.#{signature.tr("+/", "-_").delete("=")}"
        client = dial_example(example, target: "/?token=#{token}")
        expect(client.response[:status]).to include "401"
      end
    end
  end

  describe "livereload.rb", :extension do
    around do |example|
      Dir.mktmpdir do |directory|
        @directory = directory
        File.write("#{directory}/page.html", "one")
        Example.run("livereload", directory) { |server| @server = server and example.run }
      end
    end

    hello = { command: "hello", protocols: ["http://livereload.com/protocols/official-7"] }

    it "tells who has said hello which files have changed" do
      client = dial_example(@server, target: "/livereload")
      client.text(JSON.generate(hello))
      expect(JSON.parse(client.read_text)).to include(hello.transform_keys(&:to_s))
      { "page.html" => "two", "new.css" => "a {}" }.each do |name, content|
        File.write("#{@directory}/#{name}", content)
        File.utime(0, 0, "#{@directory}/#{name}")
        expect(JSON.parse(client.read_text)).to include("command" => "reload", "path" => name)
      end
      File.delete("#{@directory}/new.css")
      expect(JSON.parse(client.read_text)).to include("path" => "new.css")
    end

    it "has the script that does it in the page, and nothing else" do
      status, script = get(@server.port, "/livereload.js?x=1")
      expect([status, script]).to match ["200", /new WebSocket/]
      expect(get(@server.port, "/page.html").first).to eq "404"
    end
  end

  describe "upload.rb" do
    around do |example|
      Dir.mktmpdir do |directory|
        @directory = directory
        Example.run("upload", directory) { |server| @server = server and example.run }
      end
    end

    def announce(name, size)
      dial_example(@server).tap { |client| client.text(JSON.generate(name: name, size: size)) }
    end

    # Messages that the server sends until the whole file is written.
    def written(client)
      news = []
      news << JSON.parse(client.read_text) until news.last&.key?("sha256")
      news
    end

    { 0 => [], 1 => [1], 200_000 => [65_536, 131_072, 196_608, 200_000] }.each do |size, steps|
      it "writes #{size} bytes, and says how many are written" do
        bytes = Random.bytes(size)
        client = announce("../a b.bin", size)
        bytes.scan(/.{1,65536}/mn) { |piece| client.binary(piece) }
        news = written(client)
        expect(news.map { |one| one["written"] }).to eq(size.zero? ? [0] : steps)
        digest = Digest::SHA256.hexdigest(bytes)
        expect(news.last).to include("name" => "a_b.bin", "sha256" => digest)
        expect(File.binread("#{@directory}/a_b.bin")).to eq bytes
      end
    end

    it "keeps nothing of an upload that is given up" do
      client = announce("part.bin", 100_000)
      client.binary("x" * 1000)
      expect(JSON.parse(client.read_text)).to eq("written" => 1000)
      expect(Dir.children(@directory)).to eq ["part.bin"]
      client.disconnect
      deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 5
      Thread.pass until Dir.empty?(@directory) ||
                        Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
      expect(Dir.children(@directory)).to be_empty
    end

    it "replaces no file" do
      File.write("#{@directory}/there", "before")
      expect(announce("there", 3).read(:close).unpack1("n")).to eq 4409
      expect(File.read("#{@directory}/there")).to eq "before"
    end

    {
      "more than announced" => ->(client) { client.binary("1234") },
      "another name" => ->(client) { client.text("{}") },
      "what is no JSON" => ->(client) { client.text("name") }
    }.each do |what, act|
      it "ends who sends #{what}" do
        client = announce("small", 3)
        act.call(client)
        expect(client.read(:close).unpack1("n")).to eq 3000
      end
    end
  end

  describe "answers.rb", :extension do
    around { |example| Example.run("answers") { |server| @server = server and example.run } }

    def say(client, message) = client.text(JSON.generate(message))
    def hear(client) = JSON.parse(client.read_text, symbolize_names: true)

    it "answers token by token until it is cancelled" do
      client = dial_example(@server)
      say(client, ask: "why?")
      tokens = Array.new(5) { hear(client).fetch(:token) }
      expect(tokens.join).to eq "It depends on whom you"
      say(client, cancel: true)
      last = hear(client)
      last = hear(client) while last.key?(:token)
      expect(last).to eq(done: true, cancelled: true)
      say(client, ask: "again?")
      expect(hear(client)).to eq(token: "It")
    end

    it "gives one answer at a time" do
      client = dial_example(@server)
      2.times { say(client, ask: "why?") }
      expect(client.read(:close).unpack1("n")).to eq 4409
    end

    ["no JSON", "[]", '{"ask":3}'].each do |nonsense|
      it "closes with 4400 on #{nonsense}" do
        client = dial_example(@server)
        client.text(nonsense)
        expect(client.read(:close).unpack1("n")).to eq 4400
      end
    end
  end

  describe "rack.ru", :extension do
    path = File.join(Example::ROOT, "examples/rack.ru")
    {
      "Thin" => ["thin", "-q", "-R", path, "-a", "127.0.0.1", "start", "-p"],
      "WEBrick" => ["rackup", "-q", "-s", "webrick", "-o", "127.0.0.1", path, "-p"]
    }.each do |name, command|
      it "passes what is posted to #{name} on to every WebSocket" do
        skip "there is no #{command.first}" unless Program.server(command.first)
        http, websocket = Program.free_ports(2)
        Program.run(*command, http.to_s, env: { "WS_PORT" => websocket.to_s }) do
          client = patiently { dial(port: websocket).tap(&:open) }
          expect(patiently { get(http, "/") }).to match ["200", /ws:.*:#{websocket}/]
          answer = Net::HTTP.post(URI("http://127.0.0.1:#{http}/"), "Grüße")
          expect(answer.body).to eq "1 reached\n"
          expect(client.read_text).to eq "Grüße"
        end
      end
    end
  end

  describe "nginx.conf" do
    nginx = Program.server("nginx")

    it "passes WebSockets on, and leaves the rest to the web application" do
      skip "there is no nginx (bin/setup test unpacks one)" unless nginx
      port, = Program.free_ports(1)
      text = File.read(File.join(Example::ROOT, "examples/nginx.conf"))
      Example.run("echo") do |echo|
        Dir.mktmpdir do |directory|
          config = File.join(directory, "nginx.conf")
          File.write(config, text.gsub("127.0.0.1:8000", "127.0.0.1:#{port}")
                                 .gsub("127.0.0.1:8080", "127.0.0.1:#{echo.port}"))
          Program.run(nginx, "-e", "stderr", "-p", directory, "-c", config) do
            client = patiently { dial(port: port).tap { |one| one.open(target: "/ws") } }
            client.text("through")
            expect(client.read_text).to eq "through"
            expect(get(port, "/").last).to include "web application"
          end
        end
      end
    end
  end

  # RabbitMQ is a hundred megabytes, and more than one server: bin/setup leaves it alone.
  describe "amqp.rb", :extension do
    url = ENV.fetch("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672")

    before do
      has_bunny = system(RbConfig.ruby, "-r", "bunny", "-e", "", %i[out err] => File::NULL)
      skip "there is no bunny (Debian: ruby-bunny)" unless has_bunny
    end

    it "says so where no RabbitMQ is" do
      path = File.join(Example::ROOT, "examples/amqp.rb")
      free = Program.free_ports(1).first
      said, status = Open3.capture2e({ "AMQP_URL" => "amqp://127.0.0.1:#{free}" },
                                     RbConfig.ruby, "-I", Program::LIBRARY, path, "0")
      expect(said.lines.last).to start_with "There is no RabbitMQ at AMQP_URL: "
      expect(status.exitstatus).to eq 1
    end

    it "passes on what clients of another process say" do
      begin
        TCPSocket.new(URI(url).host, URI(url).port || 5672).close
      rescue SystemCallError
        skip "there is no RabbitMQ at #{url} (AMQP_URL says where)"
      end
      Example.run("amqp") do |first|
        Example.run("amqp") do |second|
          client, other = [first, second].map { |example| dial_example(example) }
          client.text("Grüße")
          expect([client, other].map(&:read_text)).to eq %w[Grüße Grüße]
        end
      end
    end
  end
end
