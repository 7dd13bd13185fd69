# frozen_string_literal: true

require "socket"
require_relative "cluster"
require_relative "redis"

# Brokers that cannot be used, and what is said of them.
RSpec.describe EventMachine::WebSocket, "pubsub that is refused", :extension, timeout: 60 do
  include Cluster

  after { end_members }

  secret = "s3cret-of-ours"

  # The error with which a member is disconnected, again and again.
  def error_of(url)
    one = member(url)
    one.call("hear 'room'")
    told = one.wait_for { |all| all.find { |state, *| state == "disconnected" } }
    expect(one.told.to_s).not_to include("s3cret")
    told.last
  end

  # The error that `pubsub=` raises.
  def refusal_of(url) = member(nil).call("EM::WebSocket.pubsub = #{url.inspect}")

  # A broker that does what the block does with each connection.
  def fake
    Dir.mktmpdir do |directory|
      path = File.join(directory, "s")
      UNIXServer.open(path) do |server|
        thread = Thread.new do
          loop { yield server.accept }
        rescue IOError, Errno::EBADF
          nil
        end
        return error_of("unix:#{path}")
      ensure
        server.close
        thread.join
      end
    end
  end

  {
    "localhost:6379" => /URL 1 is no URL of redis:/,
    "http://:#{secret}@localhost" => /is no URL of redis:/,
    "redis://" => /URL 1 has no host/,
    "redis://:#{secret}@localhost:port" => /has no port/,
    "redis://:#{secret}@localhost/name" => /has no number of a database/,
    "redis://localhost?pool=3" => /has \?pool=, which is not/,
    "unix:" => /has no path/,
    ["redis://localhost", "redis"] => /URL 2 is no URL/,
    [] => /give a URL/,
    7 => /give a URL/
  }.each do |url, text|
    it "raises for #{url.inspect}, which is no URL, and does not show it" do
      refusal = refusal_of(url)
      expect(refusal).to match(/\AArgumentError: pubsub: .*#{text}/)
      expect(refusal).not_to include(secret)
    end
  end

  it "says who does not speak Redis's protocol" do
    expect(fake { |client| client.write("HTTP/1.1 400 Bad Request\r\n\r\n") && client.close })
      .to match(/\Aunix:.*s: /)
  end

  it "says who hangs up" do
    expect(fake(&:close)).to match(/\Aunix:.*: /)
  end

  it "says that nobody is there" do
    expect(error_of("redis://:#{secret}@127.0.0.1:1"))
      .to match(%r{\Aredis://127.0.0.1:1/0: .*refused})
  end

  describe "by a Redis" do
    before { skip "there is no redis-server (bin/setup unpacks it)" unless Redis::PATH }

    it "says that the password is wrong, or missing, and takes the right one" do
      Redis.run("--requirepass", secret) do |redis|
        expect(error_of("#{redis.url}?password=s3cret-of-others")).to match(/[Pp]assword|WRONGPASS/)
        expect(error_of(redis.url)).to match(/NOAUTH|uthentication/)
        expect(member("#{redis.url}?password=#{secret}").tap do |one|
                 one.call("hear 'room'")
               end.connected)
          .to be_truthy
      end
    end

    it "says that it does not answer, and loses nothing of what waits until it does" do
      Redis.run do |redis|
        one = member(redis.url)
        two = member(redis.url)
        [one, two].each do |it|
          it.call("keep 'kept:1'")
          hear_kept(it, "kept:1")
        end
        redis.signal("STOP")
        one.call("count_up 1, 20, 'kept:1'")
        text = "no answer within 10 seconds"
        one.wait_for { |all| all.any? { |_, error| error&.end_with?(text) } }
        redis.signal("CONT")
        two.wait_for { two.call("numbers('kept:1')") == { "1" => [*1..20] } }
      end
    end

    it "takes a user of an access list, and says what is refused to it" do
      Redis.run do |redis|
        redis.call("ACL", "SETUSER", "app", "on", ">#{secret}", "~em-websocket-*", "&em-websocket:",
                   "&em-websocket:open*", "+@all")
        one = member("#{redis.url}?user=app&password=#{secret}")
        one.call("hear 'open:1'; hear 'closed'")
        one.connected
        text = /\Aunix:.*: it refuses to subscribe to "closed": NoPerm/
        one.wait_for { |all| all.any? { |state, error| state == "refused" && text.match?(error) } }
        one.call("EM::WebSocket.publish('open:1', 'in')")
        one.hears("open:1", "in")
      end
    end

    it "keeps nothing of a message that it does not allow to be published" do
      Redis.run do |redis|
        redis.call("ACL", "SETUSER", "app", "on", ">#{secret}", "~*", "&em-websocket:", "+@all")
        one = member("#{redis.url}?user=app&password=#{secret}")
        one.call("hear 'room'")
        one.connected
        one.call("@one = EM::WebSocket.publish('kept:1', 'x')")
        one.wait_for { one.call("@one.lost?") }
        expect(redis.call("XLEN", "em-websocket-stream:kept:1").strip).to end_with("0")
        expect(redis.call("HGET", "em-websocket-end:kept:1", "end").strip).to end_with("0")
      end
    end

    it "says that it is a replica, which is for reading" do
      Redis.run do |_redis|
        Redis.run("--replicaof", "127.0.0.1", "1") do |replica|
          expect(error_of(replica.url)).to match(/replica/)
        end
      end
    end

    it "says that it is one of a Cluster" do
      Redis.run("--cluster-enabled", "yes", "--port", Program.free_ports(1).first.to_s) do |redis|
        expect(error_of(redis.url)).to match(/Cluster/)
      end
    end

    it "says of a message that a full Redis refuses that it is lost, and goes on" do
      Redis.run("--maxmemory", "1") do |redis|
        one = member(redis.url)
        one.call("hear 'room'")
        one.connected
        one.call("@one = EM::WebSocket.publish('kept:1', 'x')")
        refused = one.wait_for { |all| all.find { |state, *| state == "refused" } }
        expect(refused.last).to match(/refuses a message of "kept:1": .*maxmemory/)
        expect(one.call("@one.lost?")).to be(true)
        redis.call("CONFIG", "SET", "maxmemory", "0")
        one.call("@two = EM::WebSocket.publish('kept:1', 'x')")
        one.wait_for { one.call("@two.lost?") == false }
      end
    end

    it "speaks TLS, and says that a certificate is of no authority that is trusted" do
      Dir.mktmpdir do |directory|
        authority = Authority.new("Redis")
        issued = authority.issue("localhost", names: "DNS:localhost")
        files = { ca: authority.pem, cert: issued[:cert].to_pem, key: issued[:key].to_pem }
        files = files.to_h do |name, text|
          [name, File.join(directory, name.to_s).tap do |path|
                   File.write(path, text)
                 end]
        end
        port = Program.free_ports(1).first.to_s
        Redis.run("--tls-port", port, "--tls-cert-file", files.fetch(:cert),
                  "--tls-key-file", files.fetch(:key),
                  "--tls-ca-cert-file", files.fetch(:ca), "--tls-auth-clients", "no") do
          expect(error_of("rediss://localhost:#{port}")).to match(/certificate|UnknownIssuer/i)
          one = member("rediss://localhost:#{port}?ca=#{files.fetch(:ca)}")
          one.call("hear 'room'")
          one.connected
        end
      end
    end
  end
end
