# frozen_string_literal: true

module EventMachine
  module WebSocket
    # Sockets that systemd, or what does as it does, has passed to this process (sd_listen_fds(3)).
    # The variables are left as they are, for several servers may each take one of them.
    #
    # @api private
    module Systemd
      # Number of the first descriptor.
      FIRST = 3

      private_constant :FIRST

      class << self
        # @param name [String, nil] as `FileDescriptorName=` has it; nil: the only one that there is
        # @return [Integer] its number
        # @raise [ArgumentError] if there is none, or more than one
        def descriptor(name = nil)
          passed = descriptors
          found = passed.select { |_, its_name| name.nil? || its_name == name }
          return found.keys.first if found.size == 1

          none(name, passed) if found.empty?
          raise ArgumentError, "socket: systemd has passed #{found.size} sockets " \
                               "(#{listed(found)}): name one, such as [:systemd, \"name\"], or " \
                               "give its number"
        end

        private

        # The descriptors and their names, none of which another program gets that is run.
        def descriptors
          pid = number("LISTEN_PID")
          none(nil, {}) unless pid
          not_ours(pid) unless pid == Process.pid
          numbers = Array.new(number("LISTEN_FDS").to_i) { |index| FIRST + index }
          numbers.each { |number| IO.for_fd(number, autoclose: false).close_on_exec = true }
          numbers.zip(ENV.fetch("LISTEN_FDNAMES", "").split(":")).to_h
        rescue SystemCallError => e
          raise ArgumentError, "socket: what LISTEN_FDS says is not there: #{e.message}"
        end

        def number(variable)
          Integer(ENV.fetch(variable, ""), 10, exception: false)
        end

        def none(name, passed)
          unless passed.empty?
            raise ArgumentError, "socket: systemd has passed no socket with the name " \
                                 "#{name.inspect}, but #{listed(passed)}"
          end

          raise ArgumentError, "socket: systemd has passed no socket (LISTEN_FDS): start the " \
                               "program by a socket unit, or give :host and :port"
        end

        def not_ours(pid)
          raise ArgumentError, "socket: systemd has passed its sockets to the process #{pid} " \
                               "(LISTEN_PID), and this is #{Process.pid}: have it start the " \
                               "program itself, or give the descriptor's number"
        end

        def listed(passed)
          passed.map { |number, name| "#{number}: #{name || "without a name"}" }.join(", ")
        end
      end
    end
  end
end
