# frozen_string_literal: true

require_relative "cluster"
require_relative "redis"

# Channels that processes have in common by way of a Redis.
RSpec.describe EventMachine::WebSocket, "pubsub with Redis", :extension, timeout: 60 do
  include Cluster

  before { skip "there is no redis-server (bin/setup unpacks it)" unless Redis::PATH }
  after { end_members }

  def client(member, target, options = "")
    @ports ||= {}
    port = @ports[[member, options]] ||= member.call("serve(#{options})")
    RawClient.open(port, target: target).tap { member.hears("open", target[/[^?]+/]) }
  end

  it "brings a message to the blocks and the connections of all processes, once each" do
    Redis.run do |redis|
      one, two = connected(redis.url, 2)
      meet([one, two], "room")
      [one, two].each { |member| member.call("hear 'room'") }
      clients = [client(one, "/room"), client(two, "/room")]
      expect(publish(one, "room", "hello")).to eq(3)
      two.hears("room", "hello")
      two.call("EM::WebSocket.publish('room', '!', binary: true)")
      clients.each do |client|
        expect(client.read_text).to eq("hello")
        expect(client.read_frame.payload).to eq("!")
      end
      [one, two].each { |member| member.hears("room", "!") }
      expect([one, two].map { |member| member.heard("room").last(2) }).to all(eq(%w[hello !]))
    end
  end

  it "numbers the messages of a channel with history for all processes together" do
    Redis.run do |redis|
      one, two, three = connected(redis.url, 3)
      [one, two].each { |member| hear_kept(member, "kept:1") }
      5.times do |n|
        publish([one, two, three][n % 3], "kept:1", n.to_s)
        [one, two].each { |member| member.hears("kept:1", n.to_s) }
      end
      three.call("EM::WebSocket.history('kept:1') { |kept| tell('kept', *kept) }")
      told = three.wait_for { |all| all.find { |words| words.first == "kept" } }
      expect(told.drop(1).map { |position, _| position[/\d+\z/].to_i }).to eq([*1..5])
      expect(told.drop(1).map(&:last)).to eq(%w[0 1 2 3 4])
      expect(one.call("EM::WebSocket.history('kept:1')")).to eq(told.drop(1))
      one.call("@last = EM::WebSocket.publish('kept:1', '5')")
      one.hears("kept:1", "5")
      one.wait_for { one.call("@last.position") }
      expect(one.call("[@last.offset, @last.lost?]")).to eq([6, false])
    end
  end

  it "sends a client what it has missed, whichever process it comes back to" do
    Redis.run do |redis|
      one, two = connected(redis.url, 2)
      hear_kept(one, "kept:1")
      3.times { |n| publish(one, "kept:1", n.to_s) }
      one.hears("kept:1", "2")
      epoch = one.call("EM::WebSocket.history('kept:1').first.first")[/\h+/]
      back = client(two, "/kept:1?since=#{epoch}:1")
      expect([back.read_text, back.read_text, back.read_text]).to eq(["1", "2", "recovered: true"])
      lost = client(two, "/kept:1?since=#{epoch}:4")
      expect(lost.read_text).to eq("recovered: false")
      publish(one, "kept:1", "3")
      [back, lost].each { |client| expect(client.read_text).to eq("3") }
    end
  end

  it "leaves out the connection that a message of a channel with history is not for" do
    Redis.run do |redis|
      one, two = connected(redis.url, 2)
      hear_kept(one, "kept:x")
      one.call(<<~RUBY.tr("\n", ";"))
        @server = EM::WebSocket.run(host: "127.0.0.1", port: 0) { |ws| ws.onopen { ws.subscribe("kept:x"); tell("open", "x") }; ws.onmessage { |text| EM::WebSocket.publish("kept:x", text, except: ws) } }
      RUBY
      port = one.call("Socket.unpack_sockaddr_in(EM.get_sockname(@server)).first")
      clients = Array.new(2) { RawClient.open(port) }
      one.wait_for { |told| told.count(%w[open x]) == 2 }
      clients.first.text("a")
      expect(clients.last.read_text).to eq("a")
      publish(two, "kept:x", "b")
      expect(clients.map(&:read_text)).to eq(%w[b b])
    end
  end

  it "publishes what a process without a reactor says last, and what other programs publish" do
    Redis.run do |redis|
      one, = connected(redis.url, 1)
      meet([one], "room")
      one.call("hear 'room'")
      program = "require 'em-websocket'; EM::WebSocket.pubsub = #{redis.url.inspect}; " \
                "EM::WebSocket.publish('room', 'job'); " \
                "fork { EM::WebSocket.publish('room', 'child') }; " \
                "Process.wait"
      Program.ruby("-e", program) { |job| expect(job.join).to be_success }
      one.hears("room", "job")
      one.hears("room", "child")
      redis.call("PUBLISH", "em-websocket:room", "by hand")
      one.hears("room", "by hand")
      UNIXSocket.open(redis.path) do |socket|
        socket.write("*3\r\n$7\r\nPUBLISH\r\n$17\r\nem-websocket:room\r\n$5\r\n\0em1x\r\n")
        expect(socket.gets).to eq(":1\r\n")
      end
      refused = one.wait_for { |told| told.find { |words| words.first == "refused" } }
      expect(refused.last).to include("room")
    end
  end

  def strictly_rising?(numbers) = numbers.each_cons(2).all? { |one, next_one| one < next_one }

  it "loses nothing of what is kept, and tells of gaps elsewhere, where Redis is killed" do
    count = 3_000
    Redis.run(*Redis::DURABLE) do |redis|
      all = connected(redis.url, 3)
      %w[kept:n n].each { |channel| meet(all, channel) }
      all.each do |member|
        member.call("@kept = {}")
        client(member, "/n?ongap=1")
      end
      all.each_with_index { |member, who| member.call("count_up #{who}, #{count}, 'kept:n', 'n'") }
      4.times do
        sleep 0.25
        redis.restart
      end
      all.each do |member|
        member.wait_for("the last of each") do
          member.call("numbers('kept:n').values.map(&:last)") == [count] * 3
        end
        expect(member.call("numbers('kept:n').values.map { |all| all == [*1..#{count}] }"))
          .to eq([true, true, true])
      end
      all.each_with_index do |member, who|
        numbers = member.call("numbers('n')")
        expect(numbers.values).to all(satisfy { |some| strictly_rising?(some) })
        expect(numbers.fetch(who.to_s).size).to eq(count)
        expect(member.told.count(%w[ongap n])).to be_between(1, 4)
      end
    end
  end

  it "tells a gap, or closes with 1012 where that is the option, once Redis is there again" do
    Redis.run do |redis|
      one, = connected(redis.url, 1)
      told = client(one, "/room?ongap=1")
      closed = client(one, "/room", "gap: :close")
      kept = client(one, "/other", "gap: :close")
      redis.kill
      one.wait_for { |all| all.any? { |state, *| state == "disconnected" } }
      redis.start
      one.hears("ongap", "room")
      [closed, kept].each do |client|
        expect(client.read_frame.payload.unpack("na*")).to eq([1012,
                                                               "messages of a channel are missing"])
      end
      publish(one, "room", "still there")
      expect(told.read_text).to eq("still there")
    end
  end

  it "says of what there was no room for that it is lost, and tells others of the gap" do
    Redis.run do |redis|
      one, two = connected(redis.url, 2)
      meet([one, two], "room")
      two.call("hear 'room'")
      one.call("EM::WebSocket.pubsub_limit = 2_000")
      client(two, "/room?ongap=1")
      redis.signal("STOP")
      one.call("@all = Array.new(20) { |n| EM::WebSocket.publish('room', n.to_s) }; nil")
      expect(one.call("@all.map(&:lost?).uniq")).to eq([nil, true])
      expect(one.call("EM::WebSocket.const_get(:Native).pubsub_stats[:pubsub_lost]")).to be_positive
      redis.signal("CONT")
      two.hears("ongap", "room")
      one.wait_for { one.call("@all.map(&:lost?).uniq") == [false, true] }
      sent = one.call("@all.count { |one| !one.lost? }")
      expect(two.heard("room").last(sent)).to eq([*0...sent].map(&:to_s))
    end
  end

  it "spreads channels over several Redis, and goes on with the others where one is gone" do
    Redis.run do |first|
      Redis.run do |second|
        one, two = Array.new(2) { member([first.url, second.url]) }
        channels = Array.new(8) { |n| "room:#{n}" }
        [one, two].each do |member|
          channels.each do |channel|
            member.call("hear #{channel.inspect}")
          end
        end
        channels.each { |channel| meet([one, two], channel) }
        used = [first, second].map { |redis| redis.call("PUBSUB", "CHANNELS", "*room*").lines.size }
        expect(used.sum).to eq(8)
        expect(used).to all(be_positive)
        lost = first.call("PUBSUB", "CHANNELS", "*room*").lines.map { |name| name.chomp[/room.*/] }
        first.kill
        (channels - lost).each do |channel|
          publish(one, channel, "on")
          two.hears(channel, "on")
        end
      end
    end
  end

  it "can be named anew, and ended, while the reactor runs" do
    Redis.run do |first|
      Redis.run do |second|
        one, two = connected(first.url, 2)
        meet([one, two], "room")
        [second.url, nil, first.url, nil, second.url].each do |url|
          [one, two].each { |it| it.call("@kept = {}; EM::WebSocket.pubsub = #{url.inspect}") }
        end
        meet([one, two], "room")
        [one, two].each { |it| it.call("EM::WebSocket.pubsub = nil") }
        one.call("EM::WebSocket.publish('room', 'alone')")
        expect(two.call("@kept['room'].include?('alone')")).to be(false)
        expect(one.call("@kept['room'].last")).to eq("alone")
      end
    end
  end

  it "forgets a client that waits for what it has missed, and is gone before Redis is back" do
    Redis.run do |redis|
      one, = connected(redis.url, 1)
      redis.kill
      one.wait_for { |told| told.any? { |state, *| state == "disconnected" } }
      clients = Array.new(3) { |n| client(one, "/kept:#{n}?since=1:1") }
      waiting = "EM::WebSocket.const_get(:PubSub).instance_variable_get(:@waiting).size"
      expect(one.call(waiting)).to eq(3)
      clients.each(&:disconnect)
      one.wait_for { |told| told.count { |word, *| word == "close" } == 3 }
      expect(one.call(waiting)).to eq(0)
      expect(one.call("EM::WebSocket.const_get(:Native).channel_stats[:channels]")).to be <= 2
      late = client(one, "/kept:0?since=1:1")
      redis.start
      expect(late.read_text).to eq("recovered: false")
    end
  end

  it "has counts, in a process that has no server, too" do
    Redis.run do |redis|
      one, = connected(redis.url, 1)
      expect(one.call("EM::WebSocket.stats.slice(:pubsub_brokers, :pubsub_connected).values"))
        .to eq([1, 1])
    end
  end

  it "keeps apart what is under another prefix or in another database" do
    Redis.run do |redis|
      urls = ["", "?db=1", "?prefix=other", "?db=1"].map { |query| redis.url + query }
      all = urls.map { |url| member(url) }
      all.each { |member| hear_kept(member, "kept:room") }
      publish(all[1], "kept:room", "of database 1")
      publish(all[2], "kept:room", "of another prefix")
      all[1].hears("kept:room", "of database 1")
      all[3].hears("kept:room", "of database 1")
      all[2].hears("kept:room", "of another prefix")
      expect(all[0].heard("kept:room")).to be_empty
    end
  end
end
